"""Views of a surface, by a z-buffer in NumPy: no display, no OpenGL and no compiler are asked for.

All triangles are filled at once: each is cut into the rows of pixels that it covers, each row into its
pixels, and of the triangles at one pixel the nearest stays. The camera looks at the origin, and the ball of
radius 1 around it is seen whole. Light comes from the camera's upper left; which way round a triangle's
corners go does not matter.
"""

import numpy as np

from modules.datamodules.wavefront import Surface

_DISTANCE = 4.0
_FRAME = 0.96
"""The ball's share of the image."""
_AMBIENT = 0.45
_LIGHT = np.array([-0.4, 0.7, 0.6]) / np.linalg.norm([-0.4, 0.7, 0.6])
_DEPTH_STEPS = 2**31 - 1


def view_of(
    surface: Surface,
    azimuth_deg: float,
    elevation_deg: float,
    size_px: int,
    background: float,
    oversampling: int = 3,
) -> tuple[np.ndarray, np.ndarray]:
    """One view.

    Args:
        surface: within the ball of radius 1; it faces +z, y is up.
        azimuth_deg: how far the camera stands to the right of its front, as who looks at it sees.
        elevation_deg: how far it stands above the horizon.
        size_px: of the image.
        background: its level, 0..1.
        oversampling: pixels along an edge of which one of the image is the mean.

    Returns:
        The image, uint8 [3, size, size], and where at least half a pixel is covered, uint8 [size, size].
    """
    fine = size_px * oversampling
    seen = surface.triangles @ _rotation(azimuth_deg, elevation_deg).T
    nearness = 1 / (_DISTANCE - seen[..., 2])  # linear on the screen, unlike the depth
    scale = _FRAME * fine / 2 * np.sqrt(_DISTANCE**2 - 1)
    x = fine / 2 + scale * seen[..., 0] * nearness
    y = fine / 2 - scale * seen[..., 1] * nearness
    pixels, nearest = _nearest(x, y, nearness, fine)
    image = np.full((fine * fine, 3), background)
    image[pixels] = surface.colours[nearest] * _brightness(seen[nearest])[:, None]
    covered = np.zeros(fine * fine)
    covered[pixels] = 1
    block = (size_px, oversampling, size_px, oversampling)
    mean = image.reshape(*block, 3).mean(axis=(1, 3)).clip(0, 1)
    mask = covered.reshape(block).mean(axis=(1, 3)) >= 0.5
    return np.rint(mean * 255).astype(np.uint8).transpose(2, 0, 1), mask.astype(np.uint8)


def _rotation(azimuth_deg: float, elevation_deg: float) -> np.ndarray:
    """From the surface's axes to the camera's: x right, y up, z towards it."""
    angles = np.radians([azimuth_deg, elevation_deg])
    (sin_a, sin_e), (cos_a, cos_e) = np.sin(angles), np.cos(angles)
    turn = np.array([[cos_a, 0, -sin_a], [0, 1, 0], [sin_a, 0, cos_a]])
    tilt = np.array([[1, 0, 0], [0, cos_e, -sin_e], [0, sin_e, cos_e]])
    return tilt @ turn


def _brightness(triangles: np.ndarray) -> np.ndarray:
    """Ambient light and Lambert's law, on the side that the camera sees."""
    normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-30)
    to_camera = np.array([0, 0, _DISTANCE]) - triangles[:, 0]
    normals *= np.where((normals * to_camera).sum(axis=1, keepdims=True) < 0, -1, 1)
    return _AMBIENT + (1 - _AMBIENT) * (normals @ _LIGHT).clip(0)


def _nearest(x: np.ndarray, y: np.ndarray, nearness: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The pixels that triangles cover, and the number of the nearest triangle at each."""
    ahead_x, ahead_y = np.roll(x, -1, axis=1) - x, np.roll(y, -1, axis=1) - y
    area = ahead_x[:, 0] * ahead_y[:, 1] - ahead_y[:, 0] * ahead_x[:, 1]
    first_row = np.ceil(y.min(axis=1) - 0.5).clip(0).astype(np.int64)
    rows_each = np.floor(y.max(axis=1) - 0.5).clip(max=size - 1).astype(np.int64) - first_row + 1
    triangle, row = _expanded(np.where(area == 0, 0, rows_each), first_row)
    # A row's pixels lie between the edges that bound it from the left and from the right: whether y falls or
    # grows along an edge says which, with the way round that the triangle goes.
    middle = row + 0.5
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = x[triangle] + (middle[:, None] - y[triangle]) * (ahead_x / ahead_y)[triangle]
    falling = np.where(area[:, None] > 0, -ahead_y, ahead_y)[triangle]
    left = np.where(falling > 0, crossing, -np.inf).max(axis=1)
    right = np.where(falling < 0, crossing, np.inf).min(axis=1)
    first = np.ceil(left - 0.5).clip(0).astype(np.int64)
    pixels_each = np.floor(right - 0.5).clip(max=size - 1).astype(np.int64) - first + 1
    line, column = _expanded(pixels_each, first)
    triangle, row = triangle[line], row[line]
    # Nearness is a plane over the screen.
    (x1, x2), (y1, y2), (n1, n2) = ((of[:, 1:] - of[:, :1]).T for of in (x, y, nearness))
    with np.errstate(divide="ignore", invalid="ignore"):
        along_x, along_y = (n1 * y2 - n2 * y1) / area, (x1 * n2 - x2 * n1) / area
    near = (
        nearness[triangle, 0]
        + along_x[triangle] * (column + 0.5 - x[triangle, 0])
        + along_y[triangle] * (row + 0.5 - y[triangle, 0])
    )
    low, high = 1 / (_DISTANCE + 1), 1 / (_DISTANCE - 1)
    steps = ((near - low) / (high - low)).clip(0, 1) * (_DEPTH_STEPS - 1) + 1
    found = np.zeros(size * size, np.int64)
    np.maximum.at(found, row * size + column, (steps.astype(np.int64) << 32) | triangle)
    pixels = np.flatnonzero(found)
    return pixels, found[pixels] & (2**32 - 1)


def _expanded(counts: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each number i repeated counts[i] times, and beside it starts[i], starts[i] + 1, ..."""
    counts = counts.clip(0)
    number = np.repeat(np.arange(len(counts)), counts)
    begins = np.cumsum(counts) - counts
    return number, np.arange(len(number)) - begins[number] + starts[number]
