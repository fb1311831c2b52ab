"""One large image and its mask of instance numbers, cut into tiles: microscopy, as it is annotated for
segmentation.

An image is one scene, so its splits are regions of it that do not touch and share no instance.
"""

from itertools import combinations
from pathlib import Path

import numpy as np
from PIL import Image

from modules.configuration.errors import UserError
from modules.configuration.regular_file import open_regular
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.image_file import UNREADABLE, reason_of
from modules.datamodules.samples import ArraySamples, Samples, raw_path


class AnnotatedTileReader:
    """Square tiles of a grey image, and of which pixels belong to an instance.

    Args:
        image: the image's file beneath the source, of levels 0 to 255, in 8 or 16 bits.
        mask: the file of instance numbers, of the same size; 0 is background.
        regions: of each split, as left, top, right, bottom in pixels.
        stride_px: of each split, from one tile to the next; tiles overlap where it is below their size.

    Raises:
        UserError: strides are of other splits than the regions, or none.
    """

    def __init__(
        self, image: str, mask: str, regions: dict[str, list[int]], stride_px: dict[str, int]
    ) -> None:
        if set(regions) != set(stride_px) or min(stride_px.values(), default=0) < 1:
            raise UserError(
                f"reader.stride_px is {stride_px}", f"Give each of {', '.join(regions)} 1 pixel or more"
            )
        self.image = image
        self.mask = mask
        self.regions = regions
        self.stride_px = stride_px

    def samples(self, raw: Path, fields: dict[str, FieldSettings]) -> dict[str, Samples]:
        """The splits; a sample's key is the left and top pixel of its tile.

        Raises:
            UserError: fields, files or regions do not agree, or an instance lies in two regions.
        """
        size = _tile_px(fields)
        levels = _grey_levels(raw_path(raw, self.image))
        instances = _grey_levels(raw_path(raw, self.mask))
        if levels.shape != instances.shape:
            raise UserError(
                f"{self.image} is {levels.shape}, {self.mask} {instances.shape}", "Name the image's own mask"
            )
        if levels.max() > 255:
            raise UserError(f"{self.image} has levels up to {levels.max()}", "Only 0 to 255 are read")
        self._check_regions(instances, size)
        splits: dict[str, Samples] = {}
        for split, (left, top, right, bottom) in self.regions.items():
            step = self.stride_px[split]
            corners = [
                (x, y)
                for y in range(top, bottom - size + 1, step)
                for x in range(left, right - size + 1, step)
            ]
            tiles = [(slice(y, y + size), slice(x, x + size)) for x, y in corners]
            arrays = {
                "image": np.stack([levels[tile][None] for tile in tiles]).astype(np.uint8),
                "mask": np.stack([instances[tile] > 0 for tile in tiles]).astype(np.uint8),
            }
            splits[split] = ArraySamples([f"{x},{y}" for x, y in corners], arrays)
        return splits

    def _check_regions(self, instances: np.ndarray, size: int) -> None:
        height, width = instances.shape
        for split, region in self.regions.items():
            if len(region) != 4 or min(region) < 0 or region[2] > width or region[3] > height:
                raise UserError(
                    f"reader.regions.{split}={region} leaves the image of {width}x{height}",
                    "Write left, top, right, bottom in pixels",
                )
            if min(region[2] - region[0], region[3] - region[1]) < size:
                raise UserError(f"reader.regions.{split}={region} holds no tile of {size}x{size}", "Widen it")
        for (one, first), (other, second) in combinations(self.regions.items(), 2):
            if max(first[0], second[0]) < min(first[2], second[2]) and (
                max(first[1], second[1]) < min(first[3], second[3])
            ):
                raise UserError(f"reader.regions: {one} and {other} overlap", "Move them apart")
            here, there = (
                set(np.unique(instances[top:bottom, left:right])) - {0}
                for left, top, right, bottom in (first, second)
            )
            if shared := sorted(here & there):
                raise UserError(
                    f"reader.regions: instance {shared[0]} lies in {one} and in {other}",
                    "Leave a wider margin between them",
                )


def _tile_px(fields: dict[str, FieldSettings]) -> int:
    if set(fields) != {"image", "mask"}:
        raise UserError(f"the dataset has the fields {sorted(fields)}", "Tiles are image and mask")
    image, mask = fields["image"], fields["mask"]
    size = image.shape[-1]
    if not isinstance(size, int) or image.dtype != "uint8" or image.shape != [1, size, size]:
        raise UserError(f"fields.image is {image.dtype} {image.shape}", "Tiles are uint8 [1, size, size]")
    if mask.dtype != "uint8" or mask.shape != [size, size] or len(mask.classes or ()) != 2:
        raise UserError(
            f"fields.mask is {mask.dtype} {mask.shape} of {len(mask.classes or ())} classes",
            f"It is uint8 [{size}, {size}] with classes: [background, ...]",
        )
    return size


def _grey_levels(path: Path) -> np.ndarray:
    """The numbers of an image of one channel, as they stand in the file."""
    try:
        with open_regular(path, links=True) as file, Image.open(file) as opened:
            levels = np.asarray(opened).astype(np.int64)
    except UNREADABLE as error:
        raise UserError(
            f"{path} is no image that can be read ({reason_of(error)})", "Fetch it again"
        ) from error
    if levels.ndim != 2:
        raise UserError(f"{path} has several channels", "Name a grey image")
    return levels
