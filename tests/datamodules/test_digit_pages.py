"""Pages of digits: what lies where, and that no digit is in two splits."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modules.configuration.errors import UserError
from modules.datamodules.formats.digit_pages import DigitPagesReader
from tests.datamodules.numbered import settings

FIELDS: dict[str, Any] = {
    "image": {
        "dtype": "uint8",
        "shape": [1, "height", "width"],
        "axes": ["channel", "height", "width"],
        "units": "level",
    },
    "boxes": {
        "dtype": "float32",
        "shape": ["boxes", 4],
        "axes": ["box", "edge"],
        "units": "px",
        "boxes_of": "image",
    },
    "labels": {
        "dtype": "int64",
        "shape": ["boxes"],
        "axes": ["box"],
        "units": "class",
        "classes": ["0", "1"],
    },
}


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits 0 are flat rectangles of one level each, digits 1 upright ones."""
    raw = tmp_path_factory.mktemp("raw")
    for digit in range(2):
        images = np.zeros((60, 28, 28))
        for number, image in enumerate(images):
            rows, columns = (slice(8, 16), slice(4, 24)) if digit == 0 else (slice(4, 24), slice(11, 17))
            image[rows, columns] = (100 + 2 * number + digit) / 255
        (raw / f"{digit}.json").write_text(json.dumps({"data": images.round(6).ravel().tolist()}))
    return raw


def reader(**changes: Any) -> DigitPagesReader:
    held_out, num_pages = {"test": 0.2, "validation": 0.1}, {"train": 12, "validation": 4, "test": 6}
    keywords: dict[str, Any] = {"held_out": held_out, "num_pages": num_pages, "sides_px": [48, 90]}
    return DigitPagesReader(".", **keywords | changes)


def fields() -> Any:
    return settings(fields=FIELDS, typical_sizes={"height": 60, "width": 60, "boxes": 3}).fields


def test_boxes_hold_the_digits_and_do_not_touch(raw: Path) -> None:
    found = reader().samples(raw, fields())
    assert {split: len(pages.keys) for split, pages in found.items()} == {
        "train": 12,
        "validation": 4,
        "test": 6,
    }
    pages = found["train"].read(np.arange(12))
    assert max(len(labels) for labels in pages["labels"]) > 1
    for image, boxes, labels in zip(pages["image"], pages["boxes"], pages["labels"], strict=True):
        assert len(boxes) == len(labels) >= 1 and image.dtype == np.uint8
        assert all(48 <= side <= 90 for side in image.shape[1:])
        taken = np.zeros(image.shape[1:], int)
        for (left, top, right, bottom), label in zip(boxes.astype(int).tolist(), labels, strict=True):
            taken[top:bottom, left:right] += 1
            assert (right - left > bottom - top) == (label == 0)
            assert image[0, top:bottom, left:right].mean() > 60
        assert taken.max() == 1


def test_a_page_depends_on_its_number_alone(raw: Path) -> None:
    one = reader().samples(raw, fields())["test"].read(np.array([3, 1]))
    other = reader(num_pages={"train": 1, "validation": 1, "test": 5}).samples(raw, fields())["test"]
    again = other.read(np.array([1]))
    assert np.array_equal(one["image"][1], again["image"][0])
    assert np.array_equal(one["boxes"][1], again["boxes"][0])


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"sides_px": [20, 90]}, "reader.sides_px"),
        ({"num_pages": {"train": 1, "test": 1}}, "reader.num_pages"),
    ],
)
def test_refused(raw: Path, changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        reader(**changes).samples(raw, fields())
