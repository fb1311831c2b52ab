"""Coloured things on photographs with a sentence that says what is seen, and every other that would be right.

Things are cut-out objects in one colour each, whole and apart, so that sizes, numbers and relations are
plain; the grammar is `modules.datamodules.scene_grammar`. Some pairs of colour and noun lie in one test
split alone: who describes them right has understood colours and nouns apart. Pasting: see
`modules.datamodules.scene_composition`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.cutouts import OPAQUE, FilePatterns, read_cutout, read_photograph
from modules.datamodules.samples import Column, Samples
from modules.datamodules.scene_composition import background_piece, photographed, relit, turned
from modules.datamodules.scene_grammar import SEPARATOR, Grammar, Meaning
from modules.datamodules.seeded import generator_of

BACKGROUND = "background"
"""The first class of a mask."""
_GAP_PX = 2
_PLAIN = (90.0, 200.0)
"""Levels of a ground without photograph."""
_NUM_LAYOUTS, _NUM_PLACES = 200, 20


class CaptionedScenesReader:
    """Scenes made when they are asked for: the fields `image`, `caption`, `references` and `mask`.

    `caption` is one wording, by chance; `references` are all of them, with `|` between.

    Args:
        objects: folder of the cut-out objects beneath the source.
        groups: for each noun the patterns of its designs beneath that folder; see `FilePatterns`.
        colours: for each its red, green and blue, 0..1.
        held_out: of nouns, the colours that they have in the split `unseen` alone.
        unseen: the split of which each scene shows a pair that is held out.
        sizes_px: of `small` and `large` things the smallest and largest longer side, in pixels of the image.
        num_scenes: of each split.
        photographs: for each split the patterns of its backgrounds beneath the source; None = things lie on a
            plain grey ground.
        distinct: the splits of which no two scenes mean the same.
        share_of_pairs: of the scenes, that show two things in relation; the others show things that are
            alike.
        most_alike: of `small` and `large` things, how many at most.
        seed: of all chance; a scene depends on it, on its split and its number, in a distinct split also on
            those before it.

    Raises:
        UserError: the splits, sizes or colours do not fit together.
    """

    def __init__(
        self,
        objects: str,
        groups: Mapping[str, Sequence[str]],
        colours: Mapping[str, Sequence[float]],
        held_out: Mapping[str, Sequence[str]],
        unseen: str,
        sizes_px: Mapping[str, Sequence[float]],
        num_scenes: Mapping[str, int],
        photographs: Mapping[str, Sequence[str]] | None = None,
        distinct: Sequence[str] = (),
        share_of_pairs: float = 0.6,
        most_alike: Mapping[str, int] | None = None,
        seed: int = 0,
    ) -> None:
        names = set(num_scenes)
        if (photographs is not None and set(photographs) != names) or not {unseen, *distinct} <= names:
            raise UserError(
                f"reader.num_scenes names {sorted(names)}, photographs {sorted(photographs or ())}, distinct"
                f" {sorted(distinct)}, unseen {unseen!r}",
                "Give each split photographs, or none at all; the others are names of splits",
            )
        wrong = [
            name
            for name, levels in colours.items()
            if len(levels) != 3 or not 0 <= min(levels) <= max(levels) <= 1
        ]
        if wrong or not colours:
            raise UserError(f"reader.colours has {wrong or 'none'}", "Give each red, green and blue in 0..1")
        if set(sizes_px) != {"small", "large"} or any(len(some) != 2 for some in sizes_px.values()):
            raise UserError(
                f"reader.sizes_px is {dict(sizes_px)}", "Write {small: [10, 12], large: [20, 24]}"
            )
        most_alike = most_alike or {"small": 4, "large": 3}
        self.grammar = Grammar(groups, colours, held_out, share_of_pairs, most_alike)
        self.objects, self.groups, self.unseen = objects, groups, unseen
        self.colours = {name: np.array(levels, np.float32) for name, levels in colours.items()}
        self.sizes_px = {name: (float(low), float(high)) for name, (low, high) in sizes_px.items()}
        self.photographs, self.num_scenes = photographs, num_scenes
        self.distinct, self.seed = distinct, seed

    def samples(self, raw: Path, fields: dict[str, FieldSettings]) -> dict[str, Samples]:
        """The splits; a scene's key is its number.

        Raises:
            UserError: the fields are others, a pattern fits no file, or a file is no cut-out object.
        """
        size_px = _check_fields(fields, list(self.groups))
        files, backgrounds = FilePatterns(raw, self.objects), FilePatterns(raw)
        designs = {
            noun: [read_cutout(files.path(name)) for name in files.fitting(some, f"reader.groups.{noun}")]
            for noun, some in self.groups.items()
        }
        found: dict[str, Samples] = {}
        for split, number in self.num_scenes.items():
            patterns = (self.photographs or {}).get(split, ())
            names = backgrounds.fitting(patterns, f"reader.photographs.{split}")
            photographs = [read_photograph(backgrounds.path(name)) for name in names]
            painter = _Painter(designs, self.colours, self.sizes_px, photographs, size_px)
            stream, unseen = f"{self.seed}/{split}", split == self.unseen
            generators = [generator_of(stream, number, "meaning") for number in range(number)]
            if split in self.distinct:
                meanings = self.grammar.distinct(number, generators, unseen)
            else:
                meanings = [self.grammar.sampled(rng, unseen) for rng in generators]
            found[split] = _SceneSamples(meanings, painter, stream)
        return found


class _Placed(NamedTuple):
    """A thing's pixels, RGBA, and where its top left corner lies."""

    pixels: np.ndarray
    top: int
    left: int


class _Painter:
    """From what a scene shows to its pixels."""

    def __init__(
        self,
        designs: Mapping[str, list[Image.Image]],
        colours: Mapping[str, np.ndarray],
        sizes_px: Mapping[str, tuple[float, float]],
        photographs: list[Image.Image],
        size_px: int,
    ) -> None:
        self._designs, self._colours, self._sizes_px = designs, colours, sizes_px
        self._photographs, self._size_px = photographs, size_px
        self._nouns = list(designs)

    def painted(self, meaning: Meaning, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Image, uint8 [3, size, size], and mask, uint8 [size, size] of noun numbers + 1."""
        levels = self._background(rng)
        mask = np.zeros((self._size_px, self._size_px), np.uint8)
        for thing, (pixels, top, left) in zip(_things(meaning), self._layout(meaning, rng), strict=True):
            place = np.s_[top : top + pixels.shape[0], left : left + pixels.shape[1]]
            alpha = pixels[:, :, 3:] / np.float32(255)
            levels[place] += alpha * (relit(pixels[:, :, :3], rng) - levels[place])
            mask[place][pixels[:, :, 3] >= OPAQUE] = self._nouns.index(thing.noun) + 1
        return photographed(levels, rng), mask

    def _background(self, rng: np.random.Generator) -> np.ndarray:
        if not self._photographs:
            return np.full((self._size_px, self._size_px, 3), rng.uniform(*_PLAIN), np.float32)
        return background_piece(self._photographs[rng.integers(len(self._photographs))], self._size_px, rng)

    def _layout(self, meaning: Meaning, rng: np.random.Generator) -> list[_Placed]:
        for _ in range(_NUM_LAYOUTS):
            placed: list[_Placed] = []
            for thing in _things(meaning):
                pixels = self._object(thing, rng)
                for _ in range(_NUM_PLACES if max(pixels.shape[:2]) <= self._size_px else 0):
                    tried = [*placed, self._somewhere(pixels, rng)]
                    if _apart(tried) and (len(tried) == 1 or _holds(meaning.relation, tried)):
                        placed = tried
                        break
                else:
                    break
            else:
                return placed
        raise UserError(
            f"{meaning.wordings()[0]!r} has no room in {self._size_px}x{self._size_px} pixels",
            "Lower reader.sizes_px",
        )

    def _object(self, thing: object, rng: np.random.Generator) -> np.ndarray:
        size, colour, noun = thing  # pyright: ignore
        designs = self._designs[noun]
        pixels = turned(designs[rng.integers(len(designs))], self._sizes_px[size], rng).copy()
        pixels[:, :, :3] = tinted(pixels, self._colours[colour])
        return pixels

    def _somewhere(self, pixels: np.ndarray, rng: np.random.Generator) -> _Placed:
        room = self._size_px - np.array(pixels.shape[:2])
        top, left = (int(rng.integers(0, most, endpoint=True)) for most in room)
        return _Placed(pixels, top, left)


class _SceneSamples:
    """The scenes of one split."""

    def __init__(self, meanings: list[Meaning], painter: _Painter, stream: str) -> None:
        self.keys = self.places = [str(number) for number in range(len(meanings))]
        self.notes: list[str] = []
        self._meanings, self._painter, self._stream = meanings, painter, stream

    def read(self, numbers: np.ndarray) -> dict[str, Column]:
        scenes = [self._scene(int(number)) for number in numbers]
        images, masks, captions, references = zip(*scenes, strict=True)
        return {
            "image": np.stack(images),
            "mask": np.stack(masks),
            "caption": list(captions),
            "references": list(references),
        }

    def _scene(self, number: int) -> tuple[np.ndarray, np.ndarray, str, str]:
        rng = generator_of(self._stream, number)
        meaning = self._meanings[number]
        wordings = meaning.wordings()
        image, mask = self._painter.painted(meaning, rng)
        return image, mask, wordings[rng.integers(len(wordings))], f" {SEPARATOR} ".join(wordings)


def tinted(pixels: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """A cut-out object in one colour: its shades go from black over that colour to white.

    Args:
        pixels: uint8 [height, width, 4].
        colour: red, green and blue, 0..1, of its mean shade.

    Returns:
        uint8 [height, width, 3].
    """
    shade = pixels[:, :, :3] @ np.array([0.299, 0.587, 0.114]) / 255
    inside = pixels[:, :, 3] >= OPAQUE
    shade = np.clip(0.5 + 0.6 * (shade - shade[inside].mean() if inside.any() else shade), 0, 1)[:, :, None]
    dark, light = 2 * shade * colour, colour + (2 * shade - 1) * (1 - colour)
    return np.rint(255 * np.where(shade < 0.5, dark, light)).astype(np.uint8)


def _things(meaning: Meaning) -> list:
    return [meaning.first] * meaning.count + ([meaning.second] if meaning.second else [])


def _apart(placed: list[_Placed]) -> bool:
    """Whether no box touches another."""
    boxes = np.array([(one.top, one.left, *one.pixels.shape[:2]) for one in placed])
    starts, ends = boxes[:, :2] - _GAP_PX, boxes[:, :2] + boxes[:, 2:]
    overlap = ((starts[:, None] < ends[None]) & (starts[None] < ends[:, None])).all(axis=2)
    return int(overlap.sum()) == len(placed)


def _holds(relation: str | None, placed: list[_Placed]) -> bool:
    """Whether the first lies so beside the second, wholly, and mostly in this direction."""
    if relation is None:
        return True
    first, second = (np.array([one.top, one.left]) + np.array(one.pixels.shape[:2]) / 2 for one in placed)
    axis, sign = {"left of": (1, 1), "right of": (1, -1), "above": (0, 1), "below": (0, -1)}[relation]
    between = sign * (second - first)[axis]
    sizes = sum(one.pixels.shape[axis] for one in placed)
    return between >= sizes / 2 + _GAP_PX and between >= 2 * abs((second - first)[1 - axis])


def _check_fields(fields: dict[str, FieldSettings], nouns: list[str]) -> int:
    """The side of the images, if the fields are those of captioned scenes."""
    if sorted(fields) != ["caption", "image", "mask", "references"]:
        raise UserError(
            f"the fields are {', '.join(sorted(fields))}", "Write image, caption, references and mask"
        )
    size, mask = fields["image"].shape[-1], fields["mask"]
    if not isinstance(size, int) or fields["image"].shape != [3, size, size] or mask.shape != [size, size]:
        raise UserError(
            f"fields.image is {fields['image'].shape}, mask {mask.shape}",
            "Scenes are [3, size, size] in colour, with a mask of [size, size]",
        )
    if mask.classes != [BACKGROUND, *nouns]:
        raise UserError(
            "fields.mask.classes differ from reader.groups",
            f"Write {BACKGROUND}, then its nouns, in the same order",
        )
    return size
