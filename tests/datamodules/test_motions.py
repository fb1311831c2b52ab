"""Motions: things stay within the clip, go where is said, and are under way when they differ."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from PIL import Image

from modules.datamodules.motion_grammar import ACTIONS, MEET
from modules.datamodules.motions import LEAST_STEPS, LEAST_WAY, Pose, posed, poses, progress, under_way

SIZE = 48


@given(some.integers(LEAST_STEPS + 2, 40), some.integers(0, 10_000))
def test_an_action_begins_and_ends_within_the_clip(num_frames: int, seed: int) -> None:
    done = progress(num_frames, np.random.default_rng(seed))
    assert done.shape == (num_frames,) and done[0] == 0 and done[-1] == 1
    steps = np.diff(done)
    moving = steps[steps > 0]
    assert len(moving) >= LEAST_STEPS
    np.testing.assert_allclose(moving, 1 / len(moving))
    assert under_way(done).tolist() == [False, *(steps > 0).tolist()]
    places = np.flatnonzero(under_way(done))
    assert (np.diff(places) == 1).all() and places[0] >= 2


@given(some.sampled_from(ACTIONS), some.integers(8, 20), some.integers(8, 20), some.integers(0, 10_000))
def test_things_stay_within_the_clip_and_do_what_is_said(
    action: str, height: int, width: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    done = progress(12, rng)
    sides = [(height, width), (14, 18)] if action == MEET else [(height, width)]
    tracks = poses(action, sides, SIZE, done, rng)
    middles = np.array([[(pose.row, pose.column) for pose in track] for track in tracks])
    scale = np.array([pose.scale for pose in tracks[0]])
    half = np.array(sides)[:, None] / 2
    assert (middles >= half - 1e-6).all() and (middles <= SIZE - half + 1e-6).all()
    still = ~under_way(done)[1:]
    for track in tracks:
        assert all(one == other for one, other, same in zip(track, track[1:], still, strict=False) if same), (
            action
        )
    way = middles[0, -1] - middles[0, 0]
    if action.startswith("move"):
        axis, sign = {"left": (1, -1), "right": (1, 1), "up": (0, -1), "down": (0, 1)}[action.split()[1]]
        assert sign * way[axis] >= LEAST_WAY * SIZE - 1e-6 and way[1 - axis] == 0
    elif action in ("grow", "shrink"):
        first, last = (scale[0], scale[-1]) if action == "grow" else (scale[-1], scale[0])
        assert 0.4 <= first <= 0.55 and last == 1 and (way == 0).all()
    elif action == "jump":
        np.testing.assert_allclose(way, 0, atol=1e-9)
        assert middles[0, 0, 0] - middles[0, :, 0].min() > 0.15 * SIZE
    elif action == "turn":
        assert abs(tracks[0][-1].turn) >= 150 and (way == 0).all()
    else:
        gap = np.abs(middles[0] - middles[1]) - half.sum(axis=0)
        axis = int(gap[-1].argmax())
        assert gap[-1, axis] == pytest.approx(0, abs=1e-6) and gap[0, axis] > 5
        np.testing.assert_allclose(middles[:, :, 1 - axis].std(axis=1), 0, atol=1e-9)


def thing() -> np.ndarray:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (6, 10, 4), np.uint8)
    pixels[:, :, 3] = 255
    return pixels


def test_a_thing_that_is_not_changed_is_copied_to_its_place() -> None:
    frame = posed(thing(), Pose(8.0, 11.0), SIZE)
    assert (frame[5:11, 6:16] == thing()).all()
    assert frame[:, :, 3].sum() == 255 * 60


def test_a_turn_is_counterclockwise_about_the_middle() -> None:
    frame = posed(thing(), Pose(12.0, 12.0, turn=90.0), SIZE)
    expected = np.asarray(Image.fromarray(thing()).rotate(90, expand=True))
    assert expected.shape == (10, 6, 4)
    assert np.abs(frame[7:17, 9:15].astype(int) - expected).max() <= 1


def test_half_a_thing_covers_a_quarter() -> None:
    solid = np.full((20, 20, 4), 255, np.uint8)
    covered = posed(solid, Pose(24.0, 24.0, scale=0.5), SIZE)[:, :, 3].sum() / 255
    assert covered == pytest.approx(100, rel=0.05)
