"""Lines of digits: as many as their text says, from left to right, of their split's digits alone."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings, VocabularySettings
from modules.datamodules.formats.digit_lines import DigitLinesReader

FIELDS = {
    "image": FieldSettings("uint8", [1, 28, 120], ["channel", "height", "width"], "grey level"),
    "text": FieldSettings(
        "int64", ["digits"], ["time"], "token", vocabulary=VocabularySettings("characters", 14)
    ),
}


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A digit is an upright stroke, the wider the larger it is."""
    raw = tmp_path_factory.mktemp("raw")
    for digit in range(10):
        images = np.zeros((30, 28, 28))
        images[:, 4:24, 4 : 6 + 2 * digit] = 0.9
        (raw / f"{digit}.json").write_text(json.dumps({"data": images.ravel().tolist()}))
    return raw


def reader(**changes: Any) -> DigitLinesReader:
    held_out, num_lines = {"test": 0.2, "validation": 0.1}, {"train": 30, "validation": 4, "test": 6}
    return DigitLinesReader(
        ".", **{"held_out": held_out, "num_lines": num_lines, "lengths": [2, 4]} | changes
    )


def test_a_line_holds_the_digits_of_its_text(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"_SCALE": (1.0, 1.0), "_GAP_PX": (3, 5), "_MAX_NOISE": 1e-9}.items():
        monkeypatch.setattr(f"modules.datamodules.formats.digit_lines.{name}", value)
    found = reader().samples(raw, FIELDS)
    assert {split: len(lines.keys) for split, lines in found.items()} == {
        "train": 30,
        "validation": 4,
        "test": 6,
    }
    lines = found["train"].read(np.arange(30))
    assert {len(text) for text in lines["text"]} == {2, 3, 4}
    for image, text in zip(lines["image"], lines["text"], strict=True):
        inked = np.flatnonzero((image[0] > 50).any(axis=0))
        strokes = np.split(inked, np.flatnonzero(np.diff(inked) > 1) + 1)
        assert [len(stroke) for stroke in strokes] == [2 + 2 * int(digit) for digit in text]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lengths": [3, 2]}, r"lengths=\[3, 2\] is no range"),
        ({"lengths": [2, 5]}, "fields.image is 28x120 pixels, and lines have up to 5 digits"),
        ({"num_lines": {"train": 3}}, r"reader.num_lines names \['train'\]"),
    ],
)
def test_what_cannot_be_is_one_line(changes: dict, message: str, raw: Path) -> None:
    with pytest.raises(UserError, match=message):
        reader(**changes).samples(raw, FIELDS)
