"""Volumes and shares of classes, cut into blocks: which voxels, which class, and what is refused."""

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

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
    ],
)
def test_what_does_not_fit_is_one_line(raw: Path, changed: dict[str, Any], problem: str) -> None:
    (raw / "text.nii.gz").write_text("no volume")
    with pytest.raises(UserError, match=problem):
        reader(**changed).samples(raw, fields())
