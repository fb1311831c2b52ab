"""Crops of photographs: each of one split's files, inside it, and the same on every reading."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.formats.photograph_crops import PhotographCropReader

FILES = {"train": ["a/*.png"], "test": ["b.png"]}
NUM_CROPS = {"train": 7, "test": 2}
FIELDS = {"content": FieldSettings("uint8", [3, 16, 16], ["channel", "height", "width"], "level")}


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Red tells the column, green the row, blue the file."""
    (tmp_path / "a").mkdir()
    for blue, (name, height, width) in enumerate((("a/1", 40, 60), ("a/2", 16, 200), ("b", 100, 30))):
        pixels = np.zeros((height, width, 3), np.uint8)
        pixels[..., 0] = np.arange(width)
        pixels[..., 1] = np.arange(height)[:, None]
        pixels[..., 2] = 100 * blue
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    return tmp_path


def reader(seed: int = 0, **others: dict) -> PhotographCropReader:
    given = {"files": FILES, "num_crops": NUM_CROPS, "smallest": {"train": 0.5, "test": 0.5}} | others
    return PhotographCropReader(**given, seed=seed)


def test_files_give_crops_in_turn(raw: Path) -> None:
    splits = reader().samples(raw, FIELDS)
    assert list(splits["train"].keys) == [f"a/{1 + number % 2}.png/{number // 2}" for number in range(7)]
    assert list(splits["test"].keys) == ["b.png/0", "b.png/1"]
    for split, blues in (("train", [0, 100, 0, 100, 0, 100, 0]), ("test", [200, 200])):
        crops = splits[split].read(np.arange(NUM_CROPS[split]))["content"]
        assert crops.shape == (NUM_CROPS[split], 3, 16, 16) and crops.dtype == np.uint8
        assert [np.unique(crop[2]).tolist() for crop in crops] == [[blue] for blue in blues]


def test_a_crop_is_square_and_of_the_size_that_is_allowed(raw: Path) -> None:
    crops = reader(num_crops={"train": 200, "test": 1}).samples(raw, FIELDS)["train"]
    images = crops.read(np.arange(200))["content"].astype(int)
    # The levels of the first and the last pixel are 15 sixteenths of the crop's side apart.
    across = np.array([image[0, 8, -1] - image[0, 8, 0] for image in images]) / 15 * 16
    down = np.array([image[1, -1, 8] - image[1, 0, 8] for image in images]) / 15 * 16
    assert np.abs(across - down).max() < 2.2
    assert 19 <= across[::2].min() < 23 and 37 < across[::2].max() <= 42, "20 to 40 of the first photograph"
    assert across[1::2].min() == across[1::2].max() == 16, "all that the second is high"
    assert len(np.unique(images[1::2, 0, 8, 0])) > 50, "from everywhere in its width"


def test_a_crop_depends_on_seed_file_and_number(raw: Path) -> None:
    first = reader().samples(raw, FIELDS)["train"].read(np.arange(7))["content"]
    again = reader(num_crops={"train": 9, "test": 1}).samples(raw, FIELDS)["train"]
    assert (again.read(np.array([6, 3]))["content"] == first[[6, 3]]).all()
    other = reader(seed=1).samples(raw, FIELDS)["train"].read(np.arange(7))["content"]
    assert (other != first).any()


def test_a_margin_is_cut_off_before(raw: Path) -> None:
    """The whole of a square of 100 by 30 pixels less three rows and columns at each side."""
    splits = reader(smallest={"train": 0.5, "test": 1}, margins={"test": 0.1}).samples(raw, FIELDS)
    image = splits["test"].read(np.arange(1))["content"][0].astype(int)
    assert image[0].min() in (3, 4) and image[0].max() in (25, 26), "columns 3 to 26 of 0 to 29"
    assert image[1].min() >= 10 and image[1].max() <= 89, "rows 10 to 89 of 0 to 99"


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"num_crops": {"train": 3}}, r"reader\.num_crops is .* Give each of train, test 1 or more"),
        ({"num_crops": {"train": 3, "test": 0}}, r"reader\.num_crops is"),
        ({"smallest": {"train": 0.0, "test": 1}}, r"reader\.smallest is .*0\.0.* Give each of train, test"),
        ({"smallest": {"train": 1.5, "test": 1}}, r"reader\.smallest is .*1\.5"),
        ({"smallest": {"train": 0.5}}, r"reader\.smallest is"),
        ({"margins": {"train": 0.5}}, r"reader\.margins is .*0\.5.* Give some of train, test"),
        ({"margins": {"other": 0.1}}, r"reader\.margins is"),
        ({"files": {"train": ["*.png"], "test": ["b.png"]}}, r"b\.png is in both 'train' and 'test'"),
        ({"files": {"train": ["c.png"], "test": ["b.png"]}}, r"reader\.files\.train: 'c\.png' fits no file"),
    ],
)
def test_what_does_not_agree_is_said(raw: Path, keywords: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        reader(**keywords).samples(raw, FIELDS)


def test_fields_and_files_are_images_in_colour(raw: Path) -> None:
    axes = ["channel", "height", "width"]
    for about in (
        {"content": FieldSettings("uint8", [1, 16, 16], axes, "")},
        {"content": FieldSettings("float32", [3, 16, 16], axes, "")},
        {"content": FieldSettings("uint8", [3, 16, "width"], axes, "")},
        {"content": FieldSettings("int64", [], [], "")},
        FIELDS | {"style": FIELDS["content"]},
    ):
        with pytest.raises(UserError, match=r"Crops are one field, uint8 \[3, size, size\]"):
            reader().samples(raw, about)
    with pytest.raises(UserError, match=r"a/2\.png is 200x16, a crop 17x17"):
        reader().samples(raw, {"content": FieldSettings("uint8", [3, 17, 17], axes, "")})
