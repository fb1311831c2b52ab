"""One volume and the share of each class in its voxels, cut into blocks: tissues of a scan, as NIfTI files.

A scan is one scene, so its splits are slabs of it that do not touch. Where there is no file of the share of a
class, an atlas of numbered regions and bounds of the grey levels say where it is.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.samples import ArraySamples, Samples, raw_path

AXES = ("depth", "height", "width")
"""Upwards, forwards and to the right, whichever way a file's axes go."""


class VolumeBlockReader:
    """Blocks of a grey volume, and which class each of their voxels is of.

    Args:
        volume: the volume's file beneath the source.
        shares: of each class but the first, the file of its share in each voxel, whose largest value is all
            of it. A voxel is of the class with the largest share, the first having what the others leave.
        voxels_a_side: as many of the file's voxels along each axis are averaged into one.
        axis: along which the slabs lie: `depth`, `height` or `width`.
        slabs: of each split, where it begins and ends along the axis, in averaged voxels.
        overlap: of each split, by how many voxels blocks overlap at least. Where it is 0 they lie side by
            side in the middle of the slab, and the rest at its borders, which is said, is left out.
        regions: of a class, the file of an atlas: where that has no number, the class has no share.
        levels: of a class, from which grey level of the volume's file to below which it has a share. A class
            that has no file of its share has all of each voxel that its atlas and its levels allow.

    Raises:
        UserError: the axis is none, slabs touch, splits differ, or no level lies between the two of a class.
    """

    def __init__(
        self,
        volume: str,
        shares: Mapping[str, str],
        voxels_a_side: int,
        axis: str,
        slabs: Mapping[str, Sequence[int]],
        overlap: Mapping[str, int],
        regions: Mapping[str, str] | None = None,
        levels: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        if axis not in AXES:
            raise UserError(f"reader.axis is {axis!r}", f"It is one of {', '.join(AXES)}")
        if set(slabs) != set(overlap) or min(overlap.values(), default=0) < 0:
            raise UserError(
                f"reader.overlap is {dict(overlap)}", f"Give each of {', '.join(slabs)} 0 or more"
            )
        ordered = sorted(slabs.items(), key=lambda item: item[1][0])
        for (one, before), (other, after) in pairwise(ordered):
            if before[1] > after[0]:
                raise UserError(f"reader.slabs: {one} and {other} overlap", "Move them apart")
        if voxels_a_side < 1:
            raise UserError(f"reader.voxels_a_side is {voxels_a_side}", "Give 1 or more")
        for name, bounds in (levels or {}).items():
            if len(bounds) != 2 or not bounds[0] < bounds[1]:
                raise UserError(
                    f"reader.levels.{name} is {list(bounds)}", "Give the lowest, and one above all"
                )
        self.volume, self.shares, self.voxels_a_side = volume, shares, voxels_a_side
        self.regions, self.levels = regions or {}, levels or {}
        self.named = list(dict.fromkeys([*self.shares, *self.regions, *self.levels]))
        self.axis, self.slabs, self.overlap = AXES.index(axis), slabs, overlap

    def samples(self, raw: Path, fields: dict[str, FieldSettings]) -> dict[str, Samples]:
        """The splits; a sample's key is the lowest voxel of its block.

        Raises:
            UserError: fields, files or slabs do not agree.
        """
        size = self._block_size(fields)
        scan = _values(raw_path(raw, self.volume))
        levels = np.rint(255 * self._averaged(scan / scan.max())).astype(np.uint8)
        shares = [self._averaged(self._share(name, scan, raw)) for name in self.named]
        classes = np.stack([1 - sum(shares), *shares]).argmax(0).astype(np.uint8)
        splits: dict[str, Samples] = {}
        for split, (begin, end) in self.slabs.items():
            if not 0 <= begin < end <= levels.shape[self.axis]:
                raise UserError(
                    f"reader.slabs.{split}={[begin, end]} leaves the {levels.shape[self.axis]} voxels",
                    "Write where it begins and ends",
                )
            ranges = [(0, voxels) for voxels in levels.shape]
            ranges[self.axis] = (begin, end)
            starts = [
                _starts(low, high, side, self.overlap[split])
                for (low, high), side in zip(ranges, size, strict=True)
            ]
            if not all(starts):
                raise UserError(f"reader.slabs.{split}={[begin, end]} holds no block of {size}", "Widen it")
            corners = list(product(*starts))
            blocks = [
                tuple(slice(low, low + side) for low, side in zip(corner, size, strict=True))
                for corner in corners
            ]
            splits[split] = ArraySamples(
                [",".join(map(str, corner)) for corner in corners],
                {
                    "volume": np.stack([levels[block][None] for block in blocks]),
                    "mask": np.stack([classes[block] for block in blocks]),
                },
                notes=_left_out(ranges, starts, size),
            )
        return splits

    def _block_size(self, fields: dict[str, FieldSettings]) -> list[int]:
        if set(fields) != {"volume", "mask"}:
            raise UserError(f"the dataset has the fields {sorted(fields)}", "Blocks are volume and mask")
        volume, mask = fields["volume"], fields["mask"]
        size = volume.shape[1:]
        if volume.dtype != "uint8" or volume.shape[:1] != [1] or len(size) != 3:
            raise UserError(
                f"fields.volume is {volume.dtype} {volume.shape}",
                "Blocks are uint8 [1, depth, height, width]",
            )
        if mask.dtype != "uint8" or mask.shape != size or mask.classes is None:
            raise UserError(f"fields.mask is {mask.dtype} {mask.shape}", f"It is uint8 {size} with classes")
        if mask.classes[1:] != self.named:
            raise UserError(
                f"fields.mask.classes are {mask.classes}, the reader's those of {self.named}",
                "Name the same after the first, in the same order",
            )
        return [int(side) for side in size]

    def _share(self, name: str, scan: np.ndarray, raw: Path) -> np.ndarray:
        """A class's share in each of the file's voxels."""
        share = np.ones_like(scan)
        if name in self.shares:
            values = self._beside(scan, raw, self.shares[name])
            share = values / values.max()
        if name in self.regions:
            share = share * (self._beside(scan, raw, self.regions[name]) > 0)
        if name in self.levels:
            low, high = self.levels[name]
            share = share * ((low <= scan) & (scan < high))
        return share

    def _beside(self, scan: np.ndarray, raw: Path, file: str) -> np.ndarray:
        values = _values(raw_path(raw, file))
        if values.shape != scan.shape:
            raise UserError(f"{file} is {values.shape}, {self.volume} {scan.shape}", "Name its own files")
        return values

    def _averaged(self, values: np.ndarray) -> np.ndarray:
        """[depth, height, width]"""
        side = self.voxels_a_side
        values = values[tuple(slice(voxels // side * side) for voxels in values.shape)]
        parts = values.reshape([n for voxels in values.shape for n in (voxels // side, side)])
        return parts.mean((1, 3, 5)).transpose(2, 1, 0)


def _values(path: Path) -> np.ndarray:
    """[right, forwards, upwards]"""
    import nibabel
    from nibabel.filebasedimages import ImageFileError

    try:
        image: Any = nibabel.as_closest_canonical(nibabel.load(path))  # pyright: ignore
        values = np.asarray(image.dataobj, dtype=np.float32)
    except (OSError, ValueError, EOFError, ImageFileError) as error:
        raise UserError(f"{path} is no volume that can be read ({error})", "Fetch it again") from error
    if values.ndim != 3 or not values.max() > 0:
        raise UserError(f"{path} has {values.ndim} axes, or is empty", "Name a volume of three axes")
    return values


def _starts(low: int, high: int, side: int, overlap: int) -> list[int]:
    """Where blocks begin: evenly over the range where they may overlap, else side by side in its middle."""
    room = high - low - side
    if room < 0:
        return []
    if overlap == 0:
        count = (high - low) // side
        first = low + (high - low - count * side) // 2
        return [first + number * side for number in range(count)]
    count = -(-room // max(side - overlap, 1)) + 1
    return sorted({low + round(number * room / max(count - 1, 1)) for number in range(count)})


def _left_out(ranges: list[tuple[int, int]], starts: list[list[int]], size: list[int]) -> list[str]:
    borders = [
        f"{first[0] - low} + {high - first[-1] - side} of {high - low} voxels of {name}"
        for name, (low, high), first, side in zip(AXES, ranges, starts, size, strict=True)
        if first[-1] + side - first[0] < high - low
    ]
    return [f"in no block: {', '.join(borders)}"] if borders else []
