"""How things move in a clip: place, size and turn of each in every frame, and when an action is under way."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from modules.datamodules.motion_grammar import MEET

LEAST_STEPS = 5
"""Frames that an action takes at least."""
LEAST_WAY = 0.25
"""Share of the clip's side that a thing moves at least."""
_SMALLEST = (0.4, 0.55)
"""The size of a thing that grows before, as a share of that after."""
_TURN_DEGREES = (150.0, 330.0)
_JUMP = (0.2, 0.35)
"""How high a thing jumps, as a share of the clip's side."""
_MEETING_SHARE = (0.4, 0.6)
"""Of the way between two that meet, what the first one goes."""


class Pose(NamedTuple):
    """Where and how a thing is in one frame.

    Attributes:
        row: of its middle, in pixels from the top.
        column: of its middle, in pixels from the left.
        scale: of its size.
        turn: in degrees, counterclockwise.
    """

    row: float
    column: float
    scale: float = 1.0
    turn: float = 0.0


def progress(num_frames: int, rng: np.random.Generator) -> np.ndarray:
    """How far an action has come in each frame: 0 in the first ones, at last 1; float64 [frames].

    It changes in `LEAST_STEPS` frames or more, from one to the next alike.

    Args:
        num_frames: of the clip, at least `LEAST_STEPS` + 2.
        rng: where all chance comes from.
    """
    num_steps = int(rng.integers(LEAST_STEPS, num_frames - 2, endpoint=True))
    begin = int(rng.integers(1, num_frames - 1 - num_steps, endpoint=True))
    return ((np.arange(num_frames) - begin) / num_steps).clip(0, 1)


def under_way(done: np.ndarray) -> np.ndarray:
    """Which frames differ from the one before by what an action changes, bool [frames].

    Args:
        done: see `progress`.
    """
    return np.diff(done, prepend=done[:1]) > 0


def poses(
    action: str, sides: Sequence[tuple[int, int]], size_px: int, done: np.ndarray, rng: np.random.Generator
) -> list[list[Pose]]:
    """The poses of each thing, frame by frame; it is within the clip, but for its corners as it turns.

    Args:
        action: of `modules.datamodules.motion_grammar.ACTIONS`.
        sides: height and width of each thing, one or two that meet.
        size_px: side of the clip.
        done: see `progress`.
        rng: where all chance comes from.
    """
    verb, _, direction = action.partition(" ")
    if verb == MEET:
        return _meeting(sides, size_px, done, rng)
    (side,) = sides
    room = size_px - np.array(side)  # to go, of the top left corner
    corner = rng.uniform(0, 1, 2) * room
    offsets, scale, turn = np.zeros((len(done), 2)), np.ones(len(done)), np.zeros(len(done))
    if verb == "move":
        axis, sign = {"left": (1, -1), "right": (1, 1), "up": (0, -1), "down": (0, 1)}[direction]
        way = rng.uniform(min(LEAST_WAY * size_px, room[axis]), room[axis])
        first = rng.uniform(0, room[axis] - way)
        corner[axis] = first if sign > 0 else first + way
        offsets[:, axis] = sign * way * done
    elif verb == "jump":
        height = min(rng.uniform(*_JUMP) * size_px, room[0])
        corner[0] = rng.uniform(height, room[0])
        offsets[:, 0] = -height * 4 * done * (1 - done)
    elif verb == "turn":
        turn = rng.choice([-1, 1]) * rng.uniform(*_TURN_DEGREES) * done
    else:
        smallest = rng.uniform(*_SMALLEST)
        scale = smallest + (1 - smallest) * (done if verb == "grow" else 1 - done)
    centre = corner + np.array(side) / 2 + offsets
    return [[Pose(*values) for values in np.column_stack([centre, scale, turn]).tolist()]]


def _meeting(
    sides: Sequence[tuple[int, int]], size_px: int, done: np.ndarray, rng: np.random.Generator
) -> list[list[Pose]]:
    """From the one side and from the other until they touch, along either axis."""
    axis = int(rng.integers(2))
    order = rng.permutation(2).tolist()  # who comes from where
    ends = np.array([sides[thing] for thing in order], float)
    room = max(size_px - ends[:, axis].sum(), 0.0)
    way = rng.uniform(0.7, 1.0) * room
    first, share = rng.uniform(0, room - way), rng.uniform(*_MEETING_SHARE)
    starts = np.array([first, first + ends[0, axis] + way])
    goes = np.array([share, share - 1]) * way
    across = rng.uniform(0, 1) * (size_px - ends[:, 1 - axis])
    found: list[list[Pose]] = [[], []]
    for place, thing in enumerate(order):
        centre = np.zeros((len(done), 2))
        centre[:, axis] = starts[place] + ends[place, axis] / 2 + goes[place] * done
        centre[:, 1 - axis] = across[place] + ends[place, 1 - axis] / 2
        found[thing] = [Pose(*values) for values in centre.tolist()]
    return found


def posed(pixels: np.ndarray, pose: Pose, size_px: int) -> np.ndarray:
    """A thing as it is seen in one frame, uint8 [size, size, 4], transparent around it.

    Args:
        pixels: uint8 [height, width, 4].
        pose: where and how it is.
        size_px: side of the frame.
    """
    angle = np.deg2rad(pose.turn)
    cosine, sine = np.cos(angle) / pose.scale, np.sin(angle) / pose.scale
    row, column = pixels.shape[0] / 2, pixels.shape[1] / 2
    # From a place of the frame to the one of the thing that is seen there.
    x = (cosine, -sine, column - cosine * pose.column + sine * pose.row)
    y = (sine, cosine, row - sine * pose.column - cosine * pose.row)
    frame = Image.fromarray(pixels).transform(
        (size_px, size_px), Image.Transform.AFFINE, (*x, *y), Image.Resampling.BICUBIC
    )
    return np.asarray(frame)
