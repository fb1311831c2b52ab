"""Traffic signs of many countries, from the sheet of small images that the npm package of Mapillary
carries.

`sprites@2x.json` says where on `sprites@2x.png` each design lies, 48x48 pixels with alpha. A design's name
says what the sign means, and which of its forms this is: `warning--koala-crossing--g2`. The reader gathers
meanings into classes, deals the designs of each class out to the splits, and photographs them (see
`photographed`).
"""

import hashlib
import json
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
from PIL import Image

from modules.configuration.errors import UserError
from modules.configuration.regular_file import read_regular_text
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.domain_randomisation import photographed
from modules.datamodules.samples import Samples, raw_path

_SHEET = "package/sprites/sprites@2x"


class TrafficSignReader:
    """Images of signs, as many of each class; no design is in two splits.

    Args:
        groups: for each class the patterns (with * and ?) of the meanings that are its; a meaning belongs
            to the first class that it fits.
        images_per_class: of each split. A class's designs are shared out in the same proportion, at least
            one to each split, and photographed in turn.
        seed: of all chance; an image depends on it and on its own key alone.
    """

    def __init__(self, groups: dict[str, list[str]], images_per_class: dict[str, int], seed: int = 0) -> None:
        self.groups = groups
        self.images_per_class = images_per_class
        self.seed = seed

    def samples(self, raw: Path, fields: dict[str, FieldSettings]) -> dict[str, Samples]:
        """The splits; a sample's key is its design and which image of that design it is."""
        image, label = fields["image"], fields["label"]
        size = image.shape[-1]
        if not isinstance(size, int) or image.dtype != "uint8" or image.shape != [3, size, size]:
            raise UserError(f"fields.image is {image.dtype} {image.shape}", "Signs are uint8 [3, size, size]")
        if label.classes != list(self.groups):
            raise UserError(
                "fields.label.classes differ from reader.groups", "Name the same, in the same order"
            )
        if min(self.images_per_class.values(), default=0) < 1:
            raise UserError(
                f"reader.images_per_class is {self.images_per_class}", "Give each split 1 or more"
            )
        designs = _read_sheet(raw)
        splits: dict[str, list[tuple[str, int]]] = {split: [] for split in self.images_per_class}
        for number, (title, members) in enumerate(zip(self.groups, self._classes(designs), strict=True)):
            for split, mine in self._dealt(title, members).items():
                for image in range(self.images_per_class[split]):
                    turn, place = divmod(image, len(mine))
                    splits[split].append((f"{mine[place]}/{turn}", number))
        return {
            split: _SignSamples(designs, images, size, f"{self.seed}/{split}")
            for split, images in splits.items()
        }

    def _classes(self, names: Iterable[str]) -> list[list[str]]:
        """The designs of each class."""
        members: list[list[str]] = [[] for _ in self.groups]
        for name in sorted(names):
            meaning = name.rpartition("--")[0]
            fitting = (
                number
                for number, patterns in enumerate(self.groups.values())
                if any(fnmatchcase(meaning, pattern) for pattern in patterns)
            )
            if (number := next(fitting, None)) is not None:
                members[number].append(name)
        return members

    def _dealt(self, title: str, members: list[str]) -> dict[str, list[str]]:
        """The designs of a class by split, in an order given by the hash of their names."""
        shares = self.images_per_class
        if len(members) < len(shares):
            raise UserError(
                f"{title!r} fits {len(members)} designs, too few for {len(shares)} splits",
                "Widen the class's patterns in reader.groups",
            )
        order = sorted(members, key=lambda name: _hash(f"{self.seed}/{name}"))
        borders = np.cumsum([0, *shares.values()]) / sum(shares.values()) * len(members)
        stops = np.rint(borders).astype(int)
        # No split is left empty-handed, the last ones included.
        for place in range(1, len(stops)):
            stops[place] = min(max(stops[place], stops[place - 1] + 1), len(members) - (len(shares) - place))
        return {
            split: order[start:stop] for split, start, stop in zip(shares, stops, stops[1:], strict=False)
        }


class _SignSamples:
    """Images taken when they are asked for."""

    def __init__(
        self, designs: dict[str, Image.Image], images: list[tuple[str, int]], size_px: int, stream: str
    ) -> None:
        self.keys = self.places = [key for key, _ in images]
        self.notes: list[str] = []
        self._designs = designs
        self._labels = np.array([label for _, label in images], np.int64)
        self._size_px = size_px
        self._stream = stream

    def read(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        return {"image": np.stack([self._image(self.keys[number]) for number in numbers]),
                "label": self._labels[numbers]}  # fmt: skip

    def _image(self, key: str) -> np.ndarray:
        rng = np.random.default_rng(_hash(f"{self._stream}/{key}"))
        return photographed(self._designs[key.rpartition("/")[0]], self._size_px, rng)


def _read_sheet(raw: Path) -> dict[str, Image.Image]:
    """Every small image of the sheet by its name, RGBA."""
    path = raw_path(raw, f"{_SHEET}.json")
    try:
        places = json.loads(read_regular_text(path, links=True))
        with Image.open(raw_path(raw, f"{_SHEET}.png")) as opened:
            sheet = opened.convert("RGBA")
        return {
            name: sheet.crop(
                (place["x"], place["y"], place["x"] + place["width"], place["y"] + place["height"])
            )
            for name, place in places.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is no sheet of signs ({error})", "Fetch it again") from error


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
