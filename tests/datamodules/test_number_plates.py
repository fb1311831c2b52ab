"""Plates: the text of their layout, in an image that depends on nothing but its split and its number."""

from pathlib import Path

import numpy as np
import pytest
from PIL import ImageFont

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings, VocabularySettings
from modules.datamodules.formats.number_plates import DIGITS, LETTERS, NumberPlatesReader

FIELDS = {
    "image": FieldSettings("uint8", [1, 24, 96], ["channel", "height", "width"], "grey level"),
    "text": FieldSettings(
        "int64", ["signs"], ["time"], "token", vocabulary=VocabularySettings("characters", 37)
    ),
}
LAYOUTS = {"train": ["LL-DDD", "DD LL"], "test": ["LDLD"]}


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    font = ImageFont.load_default(20)
    assert isinstance(font, ImageFont.FreeTypeFont)
    content = font.font_bytes if hasattr(font, "font_bytes") else font.path.getvalue()  # pyright: ignore
    (tmp_path / "font.ttf").write_bytes(content)
    return tmp_path


def test_a_plate_has_the_signs_of_its_layout_and_is_always_the_same(raw: Path) -> None:
    found = NumberPlatesReader(["font.ttf"], LAYOUTS, {"train": 40, "test": 3}).samples(raw, FIELDS)
    plates = found["train"].read(np.arange(40))
    for number, text in enumerate(plates["text"]):
        layout = ["LLDDD", "DDLL"][number % 2]
        assert len(text) == len(layout)
        assert all(
            sign in (LETTERS if kind == "L" else DIGITS) for sign, kind in zip(text, layout, strict=True)
        )
    assert len(set(plates["text"])) > 35
    images = np.stack(plates["image"])
    assert images.shape == (40, 1, 24, 96) and images.dtype == np.uint8
    assert (images.std(axis=(1, 2, 3)) > 5).all(), "something is to be seen"
    again = NumberPlatesReader(["font.ttf"], LAYOUTS, {"train": 50, "test": 3}).samples(raw, FIELDS)
    one = again["train"].read(np.array([17]))
    assert one["text"][0] == plates["text"][17] and np.array_equal(one["image"][0], images[17])
    assert found["test"].read(np.array([0]))["text"][0] != plates["text"][0]


@pytest.mark.parametrize(
    ("layouts", "numbers", "message"),
    [
        ({"train": ["LL"], "test": ["LL"]}, {"train": 1, "test": 1}, "has 'LL' twice"),
        ({"train": ["--"]}, {"train": 1}, "has '--'"),
        ({"train": ["L"]}, {"test": 1}, r"numbers of \['test'\]"),
    ],
)
def test_layouts_that_cannot_be_are_one_line(layouts: dict, numbers: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        NumberPlatesReader(["font.ttf"], layouts, numbers)


def test_what_is_no_font_is_one_line(raw: Path) -> None:
    (raw / "font.ttf").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"a font of font\.ttf cannot be read"):
        NumberPlatesReader(["font.ttf"], {"train": ["L"]}, {"train": 1}).samples(raw, FIELDS)
