"""A cut-out as a camera might have met it: tilted, lit from somewhere, before something, blurred and noisy.

Domain randomisation as in Tobin et al. (2017), arXiv 1703.06907: what a net must not rely on is sampled at
random.
"""

import numpy as np
from PIL import Image, ImageFilter

SHARE_OF_SIDE = (0.65, 0.95)
"""Side of the cut-out, as a share of the image's."""
MAX_TURN_DEGREES = 12.0
MAX_CORNER_SHIFT = 0.1
"""How far each corner leaves its place for the perspective, as a share of the cut-out's side."""
GAIN = (0.5, 1.15)
MAX_CAST = 0.1
"""How far a channel's gain leaves the common one."""
MAX_SHADE = 0.3
"""How much brighter or darker than its middle the image is at its edge."""
MAX_BLUR_PX = 1.2
MAX_NOISE = 10.0
"""Standard deviation, in grey levels 0..255."""


def photographed(cutout: Image.Image, size_px: int, rng: np.random.Generator) -> np.ndarray:
    """An image of the cut-out, uint8 [3, size_px, size_px].

    Args:
        cutout: RGBA, square.
        size_px: side of the image.
        rng: where all chance comes from.
    """
    placed = cutout.transform(
        (size_px, size_px), Image.Transform.PERSPECTIVE, _view(cutout.width, size_px, rng),
        Image.Resampling.BICUBIC,
    )  # fmt: skip
    scene = Image.fromarray(_background(size_px, rng))
    scene.paste(placed, mask=placed)
    scene = scene.filter(ImageFilter.GaussianBlur(rng.uniform(0, MAX_BLUR_PX)))
    levels = np.asarray(scene, np.float64) * _light(size_px, rng)
    levels += rng.normal(0, rng.uniform(0, MAX_NOISE), levels.shape)
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8).transpose(2, 0, 1)


def _view(cutout_px: int, size_px: int, rng: np.random.Generator) -> list[float]:
    """Pillow's eight numbers, which say where in the cut-out each point of the image lies."""
    side = size_px * rng.uniform(*SHARE_OF_SIDE)
    turn = np.radians(rng.uniform(-MAX_TURN_DEGREES, MAX_TURN_DEGREES))
    corners = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    moved = corners + rng.uniform(-MAX_CORNER_SHIFT, MAX_CORNER_SHIFT, corners.shape)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    room = (size_px - side) / 2
    centre = size_px / 2 + rng.uniform(-room, room, 2)
    seen = moved @ rotation.T * side + centre
    rows, values = [], []
    for (x, y), (u, v) in zip(seen, (corners + 0.5) * cutout_px, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return np.linalg.solve(np.array(rows), np.array(values)).tolist()


def _background(size_px: int, rng: np.random.Generator) -> np.ndarray:
    """Something out of focus: patches of colour, coarse and fine."""
    scene = np.full((size_px, size_px, 3), rng.uniform(40, 210, 3))
    for cells in (3, 8, 24):
        patches = rng.normal(0, rng.uniform(5, 45), (cells, cells, 1)) + rng.normal(0, 12, (cells, cells, 3))
        for channel in range(3):
            layer = Image.fromarray(patches[:, :, channel].astype(np.float32))
            scene[:, :, channel] += np.asarray(layer.resize((size_px, size_px), Image.Resampling.BICUBIC))
    return np.clip(scene, 0, 255).astype(np.uint8)


def _light(size_px: int, rng: np.random.Generator) -> np.ndarray:
    """The gain of each pixel and channel."""
    angle, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0, MAX_SHADE)
    place = np.linspace(-1, 1, size_px)
    slope = np.cos(angle) * place[None, :, None] + np.sin(angle) * place[:, None, None]
    return rng.uniform(*GAIN) * (1 + rng.uniform(-MAX_CAST, MAX_CAST, 3)) * (1 + strength * slope)
