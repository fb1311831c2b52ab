"""Square crops of photographs, or of paintings: what feed-forward style transfer learns from.

Johnson, Alahi & Fei-Fei (2016), *Perceptual losses for real-time style transfer and super-resolution* (arXiv
1603.08155), section 4.1, learn from 80,000 photographs of MS-COCO in 256x256. A few photographs of high
resolution stand in for them: each crop is another part at another scale.
"""

import itertools
from pathlib import Path

import numpy as np
from PIL import Image

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.cutouts import FilePatterns, read_photograph
from modules.datamodules.samples import Samples
from modules.datamodules.seeded import generator_of


class PhotographCropReader:
    """As many crops of each split, taken from its files in turn; no file is in two splits.

    Args:
        files: for each split the patterns (with *, which takes / as well, ? and []) of its files beneath the
            source.
        num_crops: of each split.
        smallest: for each split: a crop's side is at least this share of the photograph's shorter side, and
            at least as many pixels as it comes to.
        seed: of all chance; a crop depends on it, on its file and its number alone.
        margins: for some splits: the share of an image that is cut off at each side before, such as a
            painting's frame.
    """

    def __init__(
        self,
        files: dict[str, list[str]],
        num_crops: dict[str, int],
        smallest: dict[str, float],
        seed: int = 0,
        margins: dict[str, float] | None = None,
    ) -> None:
        self.files = files
        self.num_crops = num_crops
        self.smallest = smallest
        self.seed = seed
        self.margins = margins or {}

    def samples(self, raw: Path, fields: dict[str, FieldSettings]) -> dict[str, Samples]:
        """The splits; a sample's key is its file and which of that file's crops it is.

        Raises:
            UserError: keywords and fields don't agree, a pattern fits no file, splits share a file, or one is
                no photograph in colour of that size.
        """
        (field, size), names = self._checked(fields), self._names(raw)
        files = FilePatterns(raw)
        photographs = {
            name: _without_margin(read_photograph(files.path(name)), self.margins.get(split, 0.0))
            for split, mine in names.items()
            for name in mine
        }
        for name, photograph in photographs.items():
            if min(photograph.size) < size:
                raise UserError(
                    f"{name} is {photograph.width}x{photograph.height}, a crop {size}x{size}",
                    "Leave it out of reader.files",
                )
        return {
            split: _Crops(
                mine, self.num_crops[split], photographs, field, size, self.smallest[split], self.seed
            )
            for split, mine in names.items()
        }

    def _checked(self, fields: dict[str, FieldSettings]) -> tuple[str, int]:
        """The field's name and the side of a crop."""
        name, one = next(iter(fields.items()))
        size = one.shape[-1] if one.shape else None
        if (
            len(fields) != 1
            or not isinstance(size, int)
            or one.dtype != "uint8"
            or one.shape != [3, size, size]
        ):
            raise UserError(
                f"the fields are {sorted(fields)}, {name} is {one.dtype} {one.shape}",
                "Crops are one field, uint8 [3, size, size]",
            )
        if self.files.keys() != self.num_crops.keys() or min(self.num_crops.values(), default=0) < 1:
            raise UserError(
                f"reader.num_crops is {self.num_crops}", f"Give each of {', '.join(self.files)} 1 or more"
            )
        if self.files.keys() != self.smallest.keys() or not all(
            0 < share <= 1 for share in self.smallest.values()
        ):
            hint = f"Give each of {', '.join(self.files)} a share, above 0 to 1"
            raise UserError(f"reader.smallest is {self.smallest}", hint)
        if not self.margins.keys() <= self.files.keys() or not all(
            0 <= share < 0.5 for share in self.margins.values()
        ):
            hint = f"Give some of {', '.join(self.files)} a share, from 0 to below 0.5"
            raise UserError(f"reader.margins is {self.margins}", hint)
        return name, size

    def _names(self, raw: Path) -> dict[str, list[str]]:
        files = FilePatterns(raw)
        names = {
            split: files.fitting(patterns, f"reader.files.{split}") for split, patterns in self.files.items()
        }
        for one, other in itertools.combinations(names, 2):
            if common := sorted(set(names[one]) & set(names[other])):
                raise UserError(f"{common[0]} is in both {one!r} and {other!r}", "Give it to one of them")
        return names


def _without_margin(photograph: Image.Image, margin: float) -> Image.Image:
    width, height = photograph.size
    left, top = round(margin * width), round(margin * height)
    return photograph.crop((left, top, width - left, height - top))


class _Crops:
    """Crops made when they are asked for."""

    def __init__(
        self,
        names: list[str],
        num_crops: int,
        photographs: dict[str, Image.Image],
        field: str,
        size_px: int,
        smallest: float,
        seed: int,
    ) -> None:
        places = (divmod(number, len(names)) for number in range(num_crops))
        self.keys = self.places = [f"{names[place]}/{turn}" for turn, place in places]
        self.notes: list[str] = []
        self._photographs = photographs
        self._field = field
        self._size_px = size_px
        self._smallest = smallest
        self._seed = seed

    def read(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        return {self._field: np.stack([self._crop(self.keys[number]) for number in numbers])}

    def _crop(self, key: str) -> np.ndarray:
        photograph = self._photographs[key.rpartition("/")[0]]
        rng = generator_of(self._seed, key)
        shorter = min(photograph.size)
        side = rng.integers(max(self._size_px, round(self._smallest * shorter)), shorter, endpoint=True)
        left, top = (int(rng.integers(0, length - side, endpoint=True)) for length in photograph.size)
        size = (self._size_px, self._size_px)
        crop = photograph.resize(
            size, Image.Resampling.LANCZOS, box=(left, top, left + int(side), top + int(side))
        )
        return np.asarray(crop).transpose(2, 0, 1)
