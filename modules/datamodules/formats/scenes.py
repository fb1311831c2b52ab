"""Scenes of cut-out objects on photographs, with exact boxes and masks: to detect, and to segment.

The designs of each class are dealt out by the hash of their paths: those seen are in the scenes of every
split, held-out ones in the scenes of one further test split alone. Photographs are named for each split. See
`modules.datamodules.scene_composition` for what a scene is made of.
"""

import hashlib
import itertools
from pathlib import Path

import numpy as np
from PIL import Image

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.cutouts import FilePatterns, read_cutout, read_photograph
from modules.datamodules.samples import Column, Samples
from modules.datamodules.scene_composition import Scene, SceneSettings, composed

BACKGROUND = "background"
"""The first class of a mask."""


class ScenesReader:
    """Scenes made when they are asked for: the fields `image`, `boxes`, `labels` and `mask`.

    Args:
        objects: folder of the cut-out objects beneath the source.
        groups: for each class the patterns (with *, which takes / as well, ? and []) of its designs beneath
            that folder; a design belongs to the first class that it fits.
        photographs: for each split the patterns of its backgrounds beneath the source. Only splits whose
            names begin with `test` may have one in common.
        num_scenes: of each split.
        unseen: the split whose scenes are of the held-out designs; every other split's are of the rest.
        held_out: share of each class's designs, at least one.
        sizes_px: smallest and largest longer side of an object, in pixels of the image.
        num_objects: fewest and most objects of a scene.
        seed: of all chance; a scene depends on it, on its split and its number alone.
    """

    def __init__(
        self,
        objects: str,
        groups: dict[str, list[str]],
        photographs: dict[str, list[str]],
        num_scenes: dict[str, int],
        unseen: str,
        held_out: float,
        sizes_px: list[float],
        num_objects: list[int],
        seed: int = 0,
    ) -> None:
        self.objects = objects
        self.groups = groups
        self.photographs = photographs
        self.num_scenes = num_scenes
        self.unseen = unseen
        self.held_out = held_out
        self.sizes_px = sizes_px
        self.num_objects = num_objects
        self.seed = seed

    def samples(self, raw: Path, fields: dict[str, FieldSettings]) -> dict[str, Samples]:
        """The splits; a sample's key is its number.

        Raises:
            UserError: keywords and fields don't agree, a pattern fits no file, a class has too few designs,
                splits share a photograph, or a file is no cut-out object or no photograph in colour.
        """
        size_px = _check_fields(fields, list(self.groups))
        settings = self._settings(size_px)
        designs = self._designs(raw)
        photographs = self._photographs(raw)
        return {
            split: _SceneSamples(
                number, designs[split == self.unseen], photographs[split], settings, f"{self.seed}/{split}"
            )
            for split, number in self.num_scenes.items()
        }

    def _settings(self, size_px: int) -> SceneSettings:
        if min(self.num_scenes.values(), default=0) < 1:
            raise UserError(f"reader.num_scenes is {self.num_scenes}", "Give each split 1 or more")
        if self.unseen not in self.num_scenes:
            raise UserError(
                f"reader.unseen is {self.unseen!r}, no split of reader.num_scenes", "Name one of its splits"
            )
        if len(self.sizes_px) != 2 or not 1 <= self.sizes_px[0] <= self.sizes_px[1] <= size_px:
            raise UserError(
                f"reader.sizes_px is {self.sizes_px}", f"Write the smallest and the largest, 1 to {size_px}"
            )
        if len(self.num_objects) != 2 or not 0 <= self.num_objects[0] <= self.num_objects[1]:
            raise UserError(f"reader.num_objects is {self.num_objects}", "Write the fewest and the most")
        smallest, largest = self.sizes_px
        fewest, most = self.num_objects
        return SceneSettings(size_px, (smallest, largest), (fewest, most))

    def _designs(self, raw: Path) -> tuple[list[list[Image.Image]], list[list[Image.Image]]]:
        """Of each class the designs that are seen, and those held out."""
        files = FilePatterns(raw, self.objects)
        seen: list[list[Image.Image]] = []
        unseen: list[list[Image.Image]] = []
        taken: set[str] = set()
        for title, patterns in self.groups.items():
            mine = set(files.fitting(patterns, f"reader.groups.{title}")) - taken
            taken |= mine
            order = sorted(mine, key=lambda name: _hash(f"{self.seed}/{name}"))
            num_held_out = max(1, round(self.held_out * len(order)))
            if num_held_out >= len(order):
                raise UserError(
                    f"{title!r} has too few designs: {len(order)}, of which {num_held_out} would be held out",
                    f"Widen reader.groups.{title} or lower reader.held_out",
                )
            cutouts = [read_cutout(files.path(name)) for name in order]
            unseen.append(cutouts[:num_held_out])
            seen.append(cutouts[num_held_out:])
        return seen, unseen

    def _photographs(self, raw: Path) -> dict[str, list[Image.Image]]:
        if self.photographs.keys() != self.num_scenes.keys():
            raise UserError(
                f"reader.photographs names {sorted(self.photographs)}, num_scenes {sorted(self.num_scenes)}",
                "Name the same splits",
            )
        files = FilePatterns(raw)
        names = {
            split: files.fitting(patterns, f"reader.photographs.{split}")
            for split, patterns in self.photographs.items()
        }
        for one, other in itertools.combinations(names, 2):
            common = sorted(set(names[one]) & set(names[other]))
            if common and not (one.startswith("test") and other.startswith("test")):
                raise UserError(
                    f"{common[0]} is a photograph of both {one!r} and {other!r}", "Give it to one of them"
                )
        read = {name: read_photograph(files.path(name)) for name in sorted(set().union(*names.values()))}
        return {split: [read[name] for name in mine] for split, mine in names.items()}


class _SceneSamples:
    """The scenes of one split."""

    def __init__(
        self,
        num_scenes: int,
        classes: list[list[Image.Image]],
        photographs: list[Image.Image],
        settings: SceneSettings,
        stream: str,
    ) -> None:
        self.keys = self.places = [str(number) for number in range(num_scenes)]
        self.notes: list[str] = []
        self._classes = classes
        self._photographs = photographs
        self._settings = settings
        self._stream = stream

    def read(self, numbers: np.ndarray) -> dict[str, Column]:
        scenes = [self._scene(self.keys[number]) for number in numbers]
        return {
            "image": np.stack([scene.image for scene in scenes]),
            "boxes": [scene.boxes for scene in scenes],
            "labels": [scene.labels for scene in scenes],
            "mask": np.stack([scene.mask for scene in scenes]),
        }

    def _scene(self, key: str) -> Scene:
        rng = np.random.default_rng(_hash(f"{self._stream}/{key}"))
        photograph = self._photographs[rng.integers(len(self._photographs))]
        scene = composed(photograph, self._classes, self._settings, rng)
        if not len(scene.labels) and self._settings.num_objects[0] > 0:
            raise UserError(
                f"the scene {self._stream.partition('/')[2]}/{key} is empty: no object is seen well enough",
                "Raise reader.sizes_px",
            )
        return scene


def _check_fields(fields: dict[str, FieldSettings], classes: list[str]) -> int:
    """The side of the images, if the fields are those of scenes."""
    if sorted(fields) != ["boxes", "image", "labels", "mask"]:
        raise UserError(f"the fields are {sorted(fields)}", "Scenes have image, boxes, labels and mask")
    size = fields["image"].shape[-1]
    symbol = fields["boxes"].shape[0]
    wanted = {
        "image": ("uint8", [3, size, size], None),
        "boxes": ("float32", [symbol, 4], None),
        "labels": ("int64", [symbol], classes),
        "mask": ("uint8", [size, size], [BACKGROUND, *classes]),
    }
    for name, (dtype, shape, names) in wanted.items():
        one = fields[name]
        sizes_fit = isinstance(size, int) and isinstance(symbol, str)
        if not sizes_fit or (one.dtype, one.shape) != (dtype, shape):
            raise UserError(
                f"fields.{name} is {one.dtype} {one.shape}",
                "Scenes are image uint8 [3, size, size] in colour, boxes float32 [boxes, 4], labels int64"
                " [boxes] and mask uint8 [size, size]",
            )
        if names is not None and one.classes != names:
            also = f"{BACKGROUND}, then " if name == "mask" else ""
            raise UserError(
                f"fields.{name}.classes differ from reader.groups", f"Name {also}the same, in the same order"
            )
    for key, of in (("boxes.boxes_of", fields["boxes"].boxes_of), ("mask.mask_of", fields["mask"].mask_of)):
        if of != "image":
            raise UserError(f"fields.{key} is {of!r}", "Write image: that is what it is checked against")
    assert isinstance(size, int)
    return size


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
