"""Boxes and masks are those of the pixels that are seen, whatever hides or cuts them."""

import numpy as np
import pytest
from PIL import Image

from modules.datamodules.scene_composition import LEAST_SEEN_PIXELS, SceneSettings, composed

SIZE = 64
PHOTOGRAPH = Image.new("RGB", (80, 70), (0, 0, 128))
DISC = Image.fromarray(np.full((40, 30, 4), (255, 0, 0, 255), np.uint8))
SQUARE = Image.fromarray(np.full((20, 20, 4), (0, 255, 0, 255), np.uint8))


def scenes(num_objects: tuple[int, int], num_scenes: int = 60, sizes_px: tuple[float, float] = (8, 50)):
    settings = SceneSettings(SIZE, sizes_px, num_objects)
    for seed in range(num_scenes):
        yield composed(PHOTOGRAPH, [[DISC], [SQUARE]], settings, np.random.default_rng(seed))


def test_types_and_shapes() -> None:
    for scene in scenes((1, 6), 10):
        assert (scene.image.dtype, scene.image.shape) == (np.uint8, (3, SIZE, SIZE))
        assert (scene.mask.dtype, scene.mask.shape) == (np.uint8, (SIZE, SIZE))
        assert (scene.boxes.dtype, scene.labels.dtype) == (np.float32, np.int64)
        assert scene.boxes.shape == (len(scene.labels), 4) and 1 <= len(scene.labels) <= 6


def test_a_single_object_has_the_box_of_its_pixels_in_the_mask() -> None:
    for scene in scenes((1, 1)):
        rows, columns = np.nonzero(scene.mask)
        assert len(rows) >= LEAST_SEEN_PIXELS
        assert scene.boxes.tolist() == [[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]]
        assert set(scene.mask[rows, columns]) == {scene.labels[0] + 1}


def test_the_mask_is_where_the_colour_is() -> None:
    shown = 0
    for scene in scenes((1, 1), sizes_px=(30, 50)):
        inside = scene.image[scene.labels[0]][scene.mask > 0].mean()
        outside = scene.image[scene.labels[0]][scene.mask == 0].mean()
        shown += inside > outside + 60
    assert shown == 60


def test_no_box_is_outside_and_none_is_without_pixels() -> None:
    hidden = 0
    for scene in scenes((4, 6)):
        x0, y0, x1, y1 = scene.boxes.T
        assert (x0 >= 0).all() and (y0 >= 0).all() and (x1 <= SIZE).all() and (y1 <= SIZE).all()
        for (left, top, right, bottom), label in zip(scene.boxes.astype(int), scene.labels, strict=True):
            assert (scene.mask[top:bottom, left:right] == label + 1).sum() >= LEAST_SEEN_PIXELS
        # Nothing of an object lies outside all boxes.
        covered = np.zeros((SIZE, SIZE), bool)
        for left, top, right, bottom in scene.boxes.astype(int):
            hidden += covered[top:bottom, left:right].any()
            covered[top:bottom, left:right] = True
        assert not scene.mask[~covered].any()
    assert hidden > 60


def test_of_an_object_a_quarter_is_seen_at_least() -> None:
    shares = []
    for scene in scenes((2, 2), 200, sizes_px=(40, 40)):
        if len(set(scene.labels)) == 2:
            # Turning changes the number of pixels by some at the edge.
            shares += [(scene.mask == 1).sum() / 1200, (scene.mask == 2).sum() / 1600]
    assert len(shares) > 150 and 0.23 < min(shares) < 0.4 and max(shares) > 0.95


def test_a_scene_without_objects_is_a_photograph() -> None:
    for scene in scenes((0, 0), 3):
        assert not scene.mask.any() and scene.boxes.shape == (0, 4) and scene.labels.shape == (0,)


def test_an_object_too_small_to_be_seen_is_left_out() -> None:
    for scene in scenes((3, 3), 3, sizes_px=(1, 2)):
        assert len(scene.labels) == 0


def test_a_scene_stays_what_it_was() -> None:
    scene = next(scenes((6, 6), 1))
    # Another machine may round a level otherwise.
    assert scene.labels.tolist() == [1, 0, 0, 0, 1, 0]
    assert scene.boxes[:3].astype(int).tolist() == [[9, 33, 53, 64], [33, 0, 50, 12], [43, 28, 63, 56]]
    assert scene.image.mean(axis=(1, 2)).tolist() == pytest.approx([122.89, 51.88, 44.2], abs=0.05)
