"""The z-buffer against one that asks at each pixel of each triangle."""

import numpy as np

from modules.datamodules import rasteriser
from modules.datamodules.rasteriser import view_of
from modules.datamodules.wavefront import Surface


def square(z: float, half: float, colour: tuple[float, float, float]) -> Surface:
    """Facing +z, its two triangles of different sense."""
    a, b, c, d = ([x * half, y * half, z] for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1)))
    return Surface(np.array([[a, b, c], [a, d, c]], float), np.array([colour] * 2))


def together(*surfaces: Surface) -> Surface:
    return Surface(*(np.concatenate(part) for part in zip(*surfaces, strict=True)))


def test_it_agrees_with_the_plain_way() -> None:
    rng = np.random.default_rng(0)
    size = 40
    x, y = rng.uniform(-5, size + 5, (2, 30, 3))
    nearness = rng.uniform(0.21, 0.33, (30, 3))
    x[3] = x[3, 0]  # no area
    y[4, 1] = y[4, 0]  # a horizontal edge
    pixels, nearest = rasteriser._nearest(x, y, nearness, size)
    found = np.full(size * size, -1)
    found[pixels] = nearest
    for pixel in range(size * size):
        at = np.array([1, pixel % size + 0.5, pixel // size + 0.5])
        best, expected = 0.0, -1
        for number in range(30):
            corners = np.stack([np.ones(3), x[number], y[number]])
            if number == 3 or (weights := np.linalg.solve(corners, at)).min() < 0:
                continue
            if weights @ nearness[number] > best:
                best, expected = weights @ nearness[number], number
        assert found[pixel] == expected


def test_a_square_is_as_large_as_perspective_says() -> None:
    image, mask = view_of(square(0, 0.49, (1, 0, 0)), 0, 0, 64, 0.5)
    # Half its side is 0.96 / 2 * 64 * sqrt(15) * 0.49 / 4 = 14.57 pixels.
    assert image.shape == (3, 64, 64) and image.dtype == mask.dtype == np.uint8
    assert np.flatnonzero(mask.any(axis=0)).tolist() == list(range(17, 47))
    assert mask.sum() == 30 * 30 - 4, "of a corner's pixel four ninths are covered"
    brightness = 0.45 + 0.55 * 0.6 / np.sqrt(0.4**2 + 0.7**2 + 0.6**2)
    assert image[:, 32, 32].tolist() == [round(255 * brightness), 0, 0]
    assert image[:, 0, 0].tolist() == [128] * 3, "half grey"
    assert 0 < image[1, 32, 17] < 128, "an edge is a mixture"
    nearer = view_of(square(0.3, 0.49, (1, 0, 0)), 0, 0, 64, 0.5)[1]
    assert nearer.sum() > mask.sum()


def test_what_is_nearer_hides_what_is_behind_in_any_order() -> None:
    front, back = square(0.2, 0.2, (0, 1, 0)), square(-0.2, 0.6, (1, 0, 0))
    for surface in (together(front, back), together(back, front)):
        image, _ = view_of(surface, 0, 0, 32, 1.0)
        assert image[1, 16, 16] > 0 == image[0, 16, 16]
        image, _ = view_of(surface, 180, 0, 32, 1.0)
        assert image[0, 16, 16] > 0 == image[1, 16, 16]


def test_the_camera_goes_to_the_right_and_up() -> None:
    def one(x: float, y: float, z: float) -> Surface:
        of = square(0, 0.1, (1, 0, 0))
        return Surface(of.triangles + np.array([x, y, z]), of.colours)

    def middle(surface: Surface, azimuth: float, elevation: float) -> list[float]:
        row, column = np.nonzero(view_of(surface, azimuth, elevation, 64, 1.0)[1])
        return [column.mean(), row.mean()]

    assert middle(one(0.6, 0, 0), 0, 0) == [49.5, 31.5], "x is to the right"
    assert middle(one(0, 0.6, 0), 0, 0) == [31.5, 13.5], "y is up"
    assert middle(one(0, 0, 0.6), 45, 0)[0] < 20, "seen from the right, the front is to the left"
    assert middle(one(0, 0, 0.6), 0, 45)[1] > 44, "seen from above, the front is below"


def test_the_ball_of_radius_1_is_in_the_image_whole() -> None:
    rng = np.random.default_rng(1)
    corners = rng.normal(size=(300, 3, 3))
    corners /= np.linalg.norm(corners, axis=2, keepdims=True)
    _, mask = view_of(Surface(corners, np.ones((300, 3))), 20, 30, 64, 0.0)
    assert not mask[[0, -1]].any() and not mask[:, [0, -1]].any()
    assert mask[2:].any() and mask.sum() > 0.5 * 64 * 64
