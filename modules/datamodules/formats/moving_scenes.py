"""Clips of coloured things that do something on a photograph, with a sentence that says what, and all others.

Things are cut-out objects in one colour each. They stand still, then act - move, grow, shrink, turn, jump, or
two that meet - and stand still again; the class of each frame says when. The grammar is
`modules.datamodules.motion_grammar`, how things move `modules.datamodules.motions`. The photograph stays
where it is; the noise of each frame is its own.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.cutouts import FilePatterns, read_cutout, read_photograph
from modules.datamodules.formats.captioned_scenes import tinted
from modules.datamodules.motion_grammar import ACTIONS, MEET, STILL, Actor, Event, MotionGrammar
from modules.datamodules.motions import LEAST_STEPS, posed, poses, progress, under_way
from modules.datamodules.samples import Column, Samples
from modules.datamodules.scene_composition import MAX_BLUR_PX, MAX_NOISE, background_piece, relit, turned
from modules.datamodules.scene_grammar import SEPARATOR
from modules.datamodules.seeded import generator_of

CLASSES = (STILL, *ACTIONS)
"""Of frames."""
_SCALES = {MEET: 0.75, "grow": 1.25, "shrink": 1.25}
"""Sizes beside the usual ones: two need room; what is seen small as well may be larger."""


class MovingScenesReader:
    """Clips made when they are asked for: the fields `clip`, `actions`, `caption` and `references`.

    `actions` is the class of each frame: the action where the frame differs by it from the one before, else
    still. `caption` is one wording, by chance; `references` are all of them, with `|` between.

    Args:
        objects: folder of the cut-out objects beneath the source.
        groups: for each noun the patterns of its designs beneath that folder; see `FilePatterns`.
        colours: for each its red, green and blue, 0..1.
        sizes_px: of things the smallest and largest longer side, in pixels of the clip.
        num_frames: of a clip, fewest and most.
        num_clips: of each split.
        photographs: for each split the patterns of its backgrounds beneath the source.
        share_of_meetings: of the clips, that show two things that meet.
        seed: of all chance; a clip depends on it, on its split and its number.

    Raises:
        UserError: the splits, sizes, numbers of frames or colours do not fit together.
    """

    def __init__(
        self,
        objects: str,
        groups: Mapping[str, Sequence[str]],
        colours: Mapping[str, Sequence[float]],
        sizes_px: Sequence[float],
        num_frames: Sequence[int],
        num_clips: Mapping[str, int],
        photographs: Mapping[str, Sequence[str]],
        share_of_meetings: float = 0.25,
        seed: int = 0,
    ) -> None:
        if set(photographs) != set(num_clips):
            raise UserError(
                f"reader.num_clips names {sorted(num_clips)}, photographs {sorted(photographs)}",
                "Give each split photographs",
            )
        wrong = [
            name for name, some in colours.items() if len(some) != 3 or not 0 <= min(some) <= max(some) <= 1
        ]
        if wrong:
            raise UserError(f"reader.colours has {wrong}", "Give each red, green and blue in 0..1")
        if len(sizes_px) != 2 or not 1 <= sizes_px[0] <= sizes_px[1]:
            raise UserError(f"reader.sizes_px is {list(sizes_px)}", "Write smallest and largest: [16, 22]")
        if len(num_frames) != 2 or not LEAST_STEPS + 2 <= num_frames[0] <= num_frames[1]:
            raise UserError(
                f"reader.num_frames is {list(num_frames)}",
                f"Write fewest and most, of {LEAST_STEPS + 2} or more: [8, 16]",
            )
        self.grammar = MotionGrammar(groups, colours, share_of_meetings)
        self.objects, self.groups, self.photographs = objects, groups, photographs
        self.colours = {name: np.array(levels, np.float32) for name, levels in colours.items()}
        self.sizes_px = (float(sizes_px[0]), float(sizes_px[1]))
        self.num_frames = (int(num_frames[0]), int(num_frames[1]))
        self.num_clips, self.seed = num_clips, seed

    def samples(self, raw: Path, fields: dict[str, FieldSettings]) -> dict[str, Samples]:
        """The splits; a clip's key is its number.

        Raises:
            UserError: the fields are others, a pattern fits no file, a file is no cut-out object, or things
                are too large for a clip.
        """
        size_px = _check_fields(fields)
        if 2 * max(_SCALES[MEET], 0.5 * _SCALES["grow"]) * self.sizes_px[1] > size_px:
            raise UserError(
                f"two things of {self.sizes_px[1]:g} px have no room in {size_px}x{size_px} pixels",
                "Lower reader.sizes_px",
            )
        files, backgrounds = FilePatterns(raw, self.objects), FilePatterns(raw)
        designs = {
            noun: [read_cutout(files.path(name)) for name in files.fitting(some, f"reader.groups.{noun}")]
            for noun, some in self.groups.items()
        }
        found: dict[str, Samples] = {}
        for split, number in self.num_clips.items():
            names = backgrounds.fitting(self.photographs[split], f"reader.photographs.{split}")
            photographs = [read_photograph(backgrounds.path(name)) for name in names]
            painter = _Painter(designs, self.colours, self.sizes_px, photographs, size_px)
            found[split] = _Clips(number, self.grammar, self.num_frames, painter, f"{self.seed}/{split}")
        return found


class _Painter:
    """From an event to its frames."""

    def __init__(
        self,
        designs: Mapping[str, list[Image.Image]],
        colours: Mapping[str, np.ndarray],
        sizes_px: tuple[float, float],
        photographs: list[Image.Image],
        size_px: int,
    ) -> None:
        self._designs, self._colours, self._sizes_px = designs, colours, sizes_px
        self._photographs, self._size_px = photographs, size_px

    def painted(self, event: Event, done: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A clip, uint8 [frames, 3, size, size]."""
        ground = background_piece(
            self._photographs[int(rng.integers(len(self._photographs)))], self._size_px, rng
        )
        actors = [event.first, *([event.second] if event.second else [])]
        things = [self._thing(actor, _SCALES.get(event.action, 1.0), rng) for actor in actors]
        tracks = poses(event.action, [thing.shape[:2] for thing in things], self._size_px, done, rng)
        blur_px, noise = rng.uniform(0, MAX_BLUR_PX), rng.uniform(0, MAX_NOISE)
        frames = []
        for number in range(len(done)):
            levels = ground.copy()
            for thing, track in zip(things, tracks, strict=True):
                seen = posed(thing, track[number], self._size_px)
                levels += seen[:, :, 3:] / np.float32(255) * (seen[:, :, :3] - levels)
            frame = Image.fromarray(np.rint(levels).astype(np.uint8))
            blurred = np.asarray(frame.filter(ImageFilter.GaussianBlur(blur_px)))
            noisy = blurred + noise * rng.standard_normal(blurred.shape, np.float32)
            frames.append(np.clip(np.rint(noisy), 0, 255).astype(np.uint8).transpose(2, 0, 1))
        return np.stack(frames)

    def _thing(self, actor: Actor, scale: float, rng: np.random.Generator) -> np.ndarray:
        """A design in its colour and in its largest size, uint8 [height, width, 4]."""
        designs = self._designs[actor.noun]
        smallest, largest = (scale * size for size in self._sizes_px)
        pixels = turned(designs[int(rng.integers(len(designs)))], (smallest, largest), rng).copy()
        pixels[:, :, :3] = relit(tinted(pixels, self._colours[actor.colour]), rng)
        return pixels


class _Clips:
    """The clips of one split."""

    def __init__(
        self, number: int, grammar: MotionGrammar, num_frames: tuple[int, int], painter: _Painter, stream: str
    ) -> None:
        self.keys = self.places = [str(clip) for clip in range(number)]
        self.notes: list[str] = []
        self._grammar, self._num_frames = grammar, num_frames
        self._painter, self._stream = painter, stream

    def read(self, numbers: np.ndarray) -> dict[str, Column]:
        clips = [self._clip(int(number)) for number in numbers]
        names = ("clip", "actions", "caption", "references")
        return {name: list(values) for name, values in zip(names, zip(*clips, strict=True), strict=True)}

    def _clip(self, number: int) -> tuple[np.ndarray, np.ndarray, str, str]:
        rng = generator_of(self._stream, number)
        event = self._grammar.sampled(rng)
        done = progress(int(rng.integers(*self._num_frames, endpoint=True)), rng)
        actions = np.where(under_way(done), CLASSES.index(event.action), 0).astype(np.int64)
        wordings = event.wordings()
        caption = wordings[int(rng.integers(len(wordings)))]
        return self._painter.painted(event, done, rng), actions, caption, f" {SEPARATOR} ".join(wordings)


def _check_fields(fields: dict[str, FieldSettings]) -> int:
    """The side of the clips, if the fields are those of moving scenes."""
    if sorted(fields) != ["actions", "caption", "clip", "references"]:
        raise UserError(
            f"the fields are {', '.join(sorted(fields))}", "Write clip, actions, caption and references"
        )
    shape, actions = fields["clip"].shape, fields["actions"]
    if len(shape) != 4 or shape[1] != 3 or not isinstance(shape[2], int) or shape[2] != shape[3]:
        raise UserError(f"fields.clip is {shape}", "Clips are [frames, 3, size, size], in colour")
    if actions.shape != shape[:1] or actions.classes != list(CLASSES):
        raise UserError(
            f"fields.actions is {actions.shape} of {actions.classes}",
            f"Write {shape[:1]}, a class for each frame: {', '.join(CLASSES)}",
        )
    return shape[2]
