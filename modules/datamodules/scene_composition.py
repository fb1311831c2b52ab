"""Scenes put together from cut-out objects and a photograph, so that box and mask of each are known exactly.

The idea is Cut, Paste and Learn (Dwibedi, Misra, Hebert, 2017), arXiv 1708.01642; what a net must not rely on
is sampled at random. Objects are pasted one after the other, each in front of those before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from modules.datamodules.cutouts import OPAQUE

LEAST_SEEN = 0.25
"""An object of which less would be seen, for the image's border or what lies in front, is not kept."""
LEAST_SEEN_PIXELS = 16
NUM_TRIES = 20
TURN_DEGREES = 15.0
"""Standard deviation: nineteen in twenty objects are turned by 30 degrees or less."""
MAX_CUT = 0.3
"""The share of an object's width and height that may lie beyond the border."""
CONTRAST, GAIN = (0.7, 1.2), (0.7, 1.25)
MAX_CAST = 0.12
"""How far a channel's gain leaves the common one."""
MAX_BLUR_PX = 0.8
MAX_NOISE = 8.0
"""Standard deviation, in levels 0..255."""


class Scene(NamedTuple):
    """What one sample holds.

    Attributes:
        image: uint8 [3, size, size].
        boxes: of the pixels that are seen of each object, float32 [objects, 4] as x0, y0, x1, y1.
        labels: class number of each, int64 [objects].
        mask: uint8 [size, size]: 0 where the photograph is seen, else the class number + 1.
    """

    image: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    mask: np.ndarray


@dataclass(frozen=True)
class SceneSettings:
    """What scenes are like.

    Attributes:
        size_px: side of the image.
        sizes_px: smallest and largest longer side of an object before it is turned; log-uniform between.
        num_objects: fewest and most objects that are tried.
    """

    size_px: int
    sizes_px: tuple[float, float]
    num_objects: tuple[int, int]


def composed(
    photograph: Image.Image,
    classes: Sequence[Sequence[Image.Image]],
    settings: SceneSettings,
    rng: np.random.Generator,
) -> Scene:
    """A scene before a random piece of a photograph.

    Size, turn and place of an object are sampled again where less than `LEAST_SEEN` of it, or of one that it
    would hide, were seen; an object that fits nowhere in `NUM_TRIES` is left out.

    Args:
        photograph: RGB.
        classes: of each class its objects, RGBA, trimmed.
        settings: what the scene is like.
        rng: where all chance comes from.
    """
    size = settings.size_px
    levels = background_piece(photograph, size, rng)
    front = np.full((size, size), -1)  # the object seen at each pixel
    labels: list[int] = []
    num_pixels: list[int] = []  # of each object, were it seen whole
    fewest, most = settings.num_objects
    for _ in range(rng.integers(fewest, most, endpoint=True)):
        label = int(rng.integers(len(classes)))
        cutout = classes[label][int(rng.integers(len(classes[label])))]
        for _ in range(NUM_TRIES):
            pixels = turned(cutout, settings.sizes_px, rng)
            place, inside = _place(pixels.shape, size, rng)
            opaque = pixels[:, :, 3] >= OPAQUE
            tried = front.copy()
            tried[place][opaque[inside]] = len(labels)
            whole = np.array([*num_pixels, opaque.sum()])
            seen = np.bincount(tried[tried >= 0], minlength=len(whole))
            if (seen >= np.maximum(whole * LEAST_SEEN, LEAST_SEEN_PIXELS)).all():
                alpha = pixels[inside][:, :, 3:] / np.float32(255)
                levels[place] += alpha * (relit(pixels[inside][:, :, :3], rng) - levels[place])
                front = tried
                labels.append(label)
                num_pixels.append(int(whole[-1]))
                break
    mask = np.array([*(label + 1 for label in labels), 0], np.uint8)[front]
    boxes = [_tight_box(front == number) for number in range(len(labels))]
    return Scene(
        photographed(levels, rng),
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(labels, np.int64),
        mask,
    )


def background_piece(photograph: Image.Image, size_px: int, rng: np.random.Generator) -> np.ndarray:
    """A square piece of a photograph, enlarged or reduced, float32 [size, size, 3]."""
    shorter = min(photograph.size)
    side = np.exp(rng.uniform(np.log(min(size_px, shorter)), np.log(shorter)))
    left, top = (rng.uniform(0, length - side) for length in photograph.size)
    piece = photograph.resize(
        (size_px, size_px), Image.Resampling.BILINEAR, (left, top, left + side, top + side)
    )
    levels = relit(np.asarray(piece), rng)
    return levels[:, ::-1].copy() if rng.random() < 0.5 else levels


def turned(cutout: Image.Image, sizes_px: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """An object as large as chance has it, uint8 [height, width, 4]."""
    longer = np.exp(rng.uniform(*np.log(sizes_px)))
    if rng.random() < 0.5:
        cutout = cutout.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    turn = rng.normal(0, TURN_DEGREES)
    # Twice as large as wanted is enough to turn it without stairs.
    upright = resized(cutout, min(1.0, 2 * longer / max(cutout.size)))
    rotated = upright.rotate(turn, Image.Resampling.BICUBIC, expand=True)
    return np.asarray(resized(rotated, longer / max(upright.size)))


def resized(image: Image.Image, scale: float) -> Image.Image:
    width, height = (max(1, round(side * scale)) for side in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC)


def _place(
    shape: tuple[int, ...], size_px: int, rng: np.random.Generator
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Where in the image an object of this shape lies, and which of its own pixels are inside."""
    image, own = [], []
    for length in shape[:2]:
        cut = int(MAX_CUT * length)
        start = int(rng.integers(-cut, size_px - length + cut, endpoint=True))
        first, last = max(start, 0), min(start + length, size_px)
        image.append(slice(first, last))
        own.append(slice(first - start, last - start))
    return (image[0], image[1]), (own[0], own[1])


def relit(levels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Levels of another contrast, brightness and colour, float32."""
    gains = rng.uniform(*GAIN) * (1 + rng.uniform(-MAX_CAST, MAX_CAST, 3))
    changed = ((levels - np.float32(128)) * rng.uniform(*CONTRAST) + 128) * gains
    return np.clip(changed, 0, 255).astype(np.float32)


def _tight_box(seen: np.ndarray) -> list[int]:
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    return [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]


def photographed(levels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blurred and noisy, uint8 [3, size, size]."""
    scene = Image.fromarray(np.rint(levels).astype(np.uint8))
    blurred = np.asarray(scene.filter(ImageFilter.GaussianBlur(rng.uniform(0, MAX_BLUR_PX))))
    noisy = blurred + rng.normal(0, rng.uniform(0, MAX_NOISE), blurred.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8).transpose(2, 0, 1)
