"""Volumes and shares of classes, cut into blocks: which voxels, which class, and what is refused."""

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from modules.configuration.composition.conf_contents import dataset
from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.formats.volume_blocks import VolumeBlockReader

RIGHT, FORWARDS, UP = 6, 10, 4  # voxels of the file


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Levels that say where a voxel is; grey matter in the front half, white matter in its upper part."""
    levels = np.arange(RIGHT * FORWARDS * UP, dtype=np.float32).reshape(RIGHT, FORWARDS, UP)
    grey, white = np.zeros_like(levels), np.zeros_like(levels)
    grey[:, 5:, :2] = white[:, 5:, 2:] = 255
    for name, values in (("t1", levels), ("grey", grey), ("white", white)):
        nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / f"{name}.nii.gz")  # pyright: ignore
    return tmp_path


def reader(**changed: Any) -> VolumeBlockReader:
    settings: dict[str, Any] = {
        "volume": "t1.nii.gz", "shares": {"grey": "grey.nii.gz", "white": "white.nii.gz"}, "voxels_a_side": 1,
        "axis": "height", "slabs": {"train": [0, 6], "test": [6, 10]}, "overlap": {"train": 2, "test": 0},
    }  # fmt: skip
    return VolumeBlockReader(**settings | changed)


def fields(side: int = 4, classes: list[str] | None = None) -> dict[str, FieldSettings]:
    return {
        "volume": FieldSettings("uint8", [1, *[side] * 3], ["channel", "depth", "height", "width"], "level"),
        "mask": FieldSettings(
            "uint8", [side] * 3, ["depth", "height", "width"], "class number",
            classes=["other", "grey", "white"] if classes is None else classes, mask_of="volume",
        ),
    }  # fmt: skip


def test_blocks_are_the_files_voxels_with_the_class_of_the_largest_share(raw: Path) -> None:
    splits = reader().samples(raw, fields())
    assert list(splits["train"].keys) == ["0,0,0", "0,0,2", "0,2,0", "0,2,2"]
    assert list(splits["test"].keys) == ["0,6,1"]  # in the middle of six voxels to the right
    assert splits["test"].notes == ["in no block: 1 + 1 of 6 voxels of width"]
    assert not splits["train"].notes
    found = splits["train"].read(np.array([3]))
    levels = np.arange(RIGHT * FORWARDS * UP).reshape(RIGHT, FORWARDS, UP).transpose(2, 1, 0)
    expected = np.rint(255 * levels[0:4, 2:6, 2:6] / levels.max())
    assert np.array_equal(found["volume"][0, 0], expected)
    mask = found["mask"][0]
    assert (mask[:, :3] == 0).all() and (mask[:2, 3] == 1).all() and (mask[2:, 3] == 2).all()


def test_regions_and_levels_say_where_a_class_is(raw: Path) -> None:
    levels = np.arange(RIGHT * FORWARDS * UP, dtype=np.float32).reshape(RIGHT, FORWARDS, UP)
    atlas = np.zeros_like(levels)
    atlas[2:5, 3:], atlas[5, 3:] = 7, 90  # the numbers of regions say nothing of how much
    nibabel.save(nibabel.Nifti1Image(atlas, np.eye(4)), raw / "atlas.nii.gz")  # pyright: ignore
    whole = {"slabs": {"test": [0, 10]}, "overlap": {"test": 1}, "voxels_a_side": 1}
    bounds = {"grey": [100, 200], "white": [200, 240]}
    read = reader(shares={}, regions={"grey": "atlas.nii.gz"}, levels=bounds, **whole)
    split = read.samples(raw, fields())["test"]
    truth = np.where(levels >= 200, 2, ((levels >= 100) & (atlas > 0)).astype(np.uint8)).transpose(2, 1, 0)
    found = split.read(np.arange(len(split.keys)))
    for key, mask in zip(split.keys, found["mask"], strict=True):
        depth, height, width = map(int, key.split(","))
        assert np.array_equal(mask, truth[depth : depth + 4, height : height + 4, width : width + 4])

    limited = reader(levels={"white": [0, 120]}, **whole).samples(raw, fields())["test"]
    masks = limited.read(np.arange(len(limited.keys)))["mask"]
    assert (masks == 1).any() and (masks[found["volume"][:, 0] >= 256 * 120 / 239] != 2).all()


def test_the_files_axes_may_go_the_other_way(raw: Path) -> None:
    expected = reader().samples(raw, fields())["train"].read(np.arange(4))
    for name in ("t1", "grey", "white"):
        image: Any = nibabel.load(raw / f"{name}.nii.gz")  # pyright: ignore
        values = np.asarray(image.dataobj)[::-1].transpose(2, 0, 1)
        place = np.array([[0, -1.0, 0, RIGHT - 1], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
        nibabel.save(nibabel.Nifti1Image(values, place), raw / f"{name}.nii.gz")  # pyright: ignore
    found = reader().samples(raw, fields())["train"].read(np.arange(4))
    assert all(np.array_equal(found[name], expected[name]) for name in ("volume", "mask"))


def test_voxels_are_averaged(raw: Path) -> None:
    split = reader(voxels_a_side=2, slabs={"train": [0, 2], "test": [3, 5]}).samples(raw, fields(2))["train"]
    levels = np.arange(RIGHT * FORWARDS * UP).reshape(RIGHT, FORWARDS, UP)
    expected = round(255 * levels[:2, :2, :2].mean() / levels.max())
    assert split.read(np.array([0]))["volume"][0, 0, 0, 0, 0] == expected


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"axis": "up"}, "reader.axis is 'up'"),
        ({"voxels_a_side": 0}, "reader.voxels_a_side is 0"),
        ({"overlap": {"train": 0}}, "reader.overlap is"),
        ({"slabs": {"train": [0, 6], "test": [5, 10]}}, "train and test overlap"),
        ({"slabs": {"train": [0, 6], "test": [6, 11]}}, "leaves the 10 voxels"),
        ({"slabs": {"train": [0, 6], "test": [7, 10]}}, "holds no block"),
        ({"shares": {"white": "white.nii.gz", "grey": "grey.nii.gz"}}, "fields.mask.classes are"),
        ({"volume": "text.nii.gz"}, "is no volume that can be read"),
        ({"regions": {"grey": "small.nii.gz"}}, r"small.nii.gz is \(2, 2, 2\), t1.nii.gz \(6, 10, 4\)"),
        ({"regions": {"fluid": "grey.nii.gz"}}, "the reader's those of .*fluid"),
        ({"levels": {"grey": [200, 200]}}, "reader.levels.grey is"),
    ],
)
def test_what_does_not_fit_is_one_line(raw: Path, changed: dict[str, Any], problem: str) -> None:
    (raw / "text.nii.gz").write_text("no volume")
    small = nibabel.Nifti1Image(np.ones((2, 2, 2), np.float32), np.eye(4))  # pyright: ignore
    nibabel.save(small, raw / "small.nii.gz")  # pyright: ignore
    with pytest.raises(UserError, match=problem):
        reader(**changed).samples(raw, fields())


def test_both_brains_have_the_same_fields() -> None:
    assert dataset("brain")["fields"] == dataset("brain_ch2")["fields"]
