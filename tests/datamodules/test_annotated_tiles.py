"""Tiles of one image with a mask of instances: regions are apart, values are the file's own."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.formats.annotated_tiles import AnnotatedTileReader

CLASSES = ["background", "nucleus"]
FIELDS = {
    "image": FieldSettings("uint8", [1, 4, 4], ["channel", "height", "width"], "level"),
    "mask": FieldSettings("uint8", [4, 4], ["height", "width"], "class number", CLASSES),
}
REGIONS = {"train": [0, 0, 6, 8], "test": [8, 0, 12, 8]}
STRIDES = {"train": 2, "test": 4}


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Levels 0 to 95 in 16 bits, by rows; instance 300 in the training region, 7 in margin and test."""
    levels = np.arange(96, dtype=np.uint16).reshape(8, 12)
    instances = np.zeros((8, 12), np.uint16)
    instances[1:3, 2:7] = 300
    instances[5, 7:9] = 7
    Image.fromarray(levels).save(tmp_path / "image.tif")
    Image.fromarray(instances).save(tmp_path / "mask.tif")
    return tmp_path


def reader(regions: dict[str, list[int]] = REGIONS, strides: dict[str, int] = STRIDES) -> AnnotatedTileReader:
    return AnnotatedTileReader("image.tif", "mask.tif", regions, strides)


def test_tiles_are_cut_from_their_region(raw: Path) -> None:
    splits = reader().samples(raw, FIELDS)
    assert list(splits["train"].keys) == ["0,0", "2,0", "0,2", "2,2", "0,4", "2,4"]
    assert list(splits["test"].keys) == ["8,0", "8,4"]
    sample = splits["train"].read(np.array([3]))
    assert sample["image"].dtype == sample["mask"].dtype == np.uint8
    assert sample["image"][0, 0].tolist() == [[row * 12 + 2 + x for x in range(4)] for row in (2, 3, 4, 5)]
    assert sample["mask"][0].tolist() == [[1, 1, 1, 1]] + [[0] * 4] * 3
    assert splits["test"].read(np.array([1]))["mask"][0].tolist() == [[0] * 4, [1, 0, 0, 0]] + [[0] * 4] * 2


@pytest.mark.parametrize(
    ("region", "message"),
    [
        ([6, 0, 12, 8], "instance 300 lies in train and in test"),
        ([4, 4, 12, 8], "train and test overlap"),
        ([9, 0, 12, 8], r"holds no tile of 4x4"),
        ([8, 0, 13, 8], "leaves the image of 12x8"),
        ([8, -1, 12, 8], "leaves the image of 12x8"),
        ([8, 0, 12], "leaves the image of 12x8"),
    ],
)
def test_regions_stay_apart(raw: Path, region: list[int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        reader(REGIONS | {"test": region}).samples(raw, FIELDS)


@pytest.mark.parametrize("strides", [{"train": 2}, {"train": 2, "test": 0}, {}])
def test_each_region_has_a_stride(strides: dict[str, int]) -> None:
    with pytest.raises(UserError, match=r"reader\.stride_px is .* Give each of train, test 1 pixel or more"):
        reader(strides=strides)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"label": FIELDS["mask"]}, r"has the fields \['image', 'label', 'mask'\]"),
        (
            {"image": FieldSettings("uint8", [3, 4, 4], ["a", "b", "c"], "level")},
            r"fields\.image is uint8 \[3",
        ),
        ({"mask": FieldSettings("uint8", [4, 4], ["a", "b"], "class", ["one"])}, r"of 1 classes"),
        ({"mask": FieldSettings("int64", [4, 4], ["a", "b"], "class", CLASSES)}, r"fields\.mask is int64"),
    ],
)
def test_fields_are_image_and_mask(raw: Path, fields: dict[str, FieldSettings], message: str) -> None:
    with pytest.raises(UserError, match=message):
        reader().samples(raw, FIELDS | fields)


def test_files_that_do_not_fit_are_refused(raw: Path) -> None:
    Image.fromarray(np.full((8, 12), 256, np.uint16)).save(raw / "image.tif")
    with pytest.raises(UserError, match="levels up to 256"):
        reader().samples(raw, FIELDS)
    Image.fromarray(np.zeros((8, 11), np.uint8)).save(raw / "image.tif")
    with pytest.raises(UserError, match=r"image\.tif is \(8, 11\), mask\.tif \(8, 12\)"):
        reader().samples(raw, FIELDS)
    Image.fromarray(np.zeros((8, 12, 3), np.uint8)).save(raw / "image.tif")
    with pytest.raises(UserError, match="has several channels"):
        reader().samples(raw, FIELDS)
    (raw / "image.tif").write_bytes(b"no")
    with pytest.raises(UserError, match="is no image that can be read"):
        reader().samples(raw, FIELDS)
