import math

import pytest
import torch

from modules.bricks.distortion import RandomDistortion

NOTHING = {"rotation_deg": 0.0, "stretch": 0.0, "slant": 0.0, "shift_px": 0.0, "bend_px": 0.0}


def blobs(across: bool = True) -> torch.Tensor:
    """300 images of 29x33 pixels: two bright blobs 8 pixels apart, side by side or one above the other."""
    rows, columns = torch.meshgrid(torch.arange(29.0), torch.arange(33.0), indexing="ij")
    along, other, middle = (columns, rows - 14, 16) if across else (rows, columns - 16, 14)
    image = sum(torch.exp(-(other**2 + (along - middle - x) ** 2) / 2) for x in (-4, 4))
    return image.repeat(300, 1, 1, 1)  # type: ignore[union-attr]


def between(images: torch.Tensor, across: bool = True) -> torch.Tensor:
    """(rows, columns) from the first blob of each image to the second."""
    places = centres(images, across)
    return places[:, 1] - places[:, 0]


def centres(images: torch.Tensor, across: bool = True) -> torch.Tensor:
    rows, columns = torch.meshgrid(torch.arange(29.0), torch.arange(33.0), indexing="ij")
    second = columns > 16 if across else rows > 14
    found = []
    for half in (~second, second):
        weight = images[:, 0] * half
        found.append(
            torch.stack([(weight * axis).sum((1, 2)) / weight.sum((1, 2)) for axis in (rows, columns)], 1)
        )
    return torch.stack(found, 1)


def distorted(across: bool = True, **keywords: float) -> torch.Tensor:
    torch.manual_seed(0)
    return RandomDistortion(**NOTHING | keywords)(blobs(across))


def test_nothing_changes_nothing() -> None:
    images = torch.rand(3, 2, 9, 11)
    torch.testing.assert_close(RandomDistortion(**NOTHING)(images), images, rtol=0, atol=1e-5)


def test_shifts_are_of_at_most_so_many_pixels() -> None:
    moved = centres(distorted(shift_px=2.0)).mean(1) - torch.tensor([14.0, 16.0])
    assert moved.abs().max() <= 2.05
    assert (moved.abs().amax(0) > 1.9).all()


@pytest.mark.parametrize("across", [True, False])
def test_turns_are_of_at_most_so_many_degrees(across: bool) -> None:
    rows, columns = between(distorted(across, rotation_deg=15.0), across).unbind(1)
    angle = torch.atan2(rows, columns) if across else torch.atan2(columns, rows)
    assert math.radians(14) < angle.abs().max() < math.radians(15.5)


def test_stretching_changes_distances_by_at_most_that_share() -> None:
    share = (between(distorted(stretch=0.2)).norm(dim=1) / 8).log()
    assert 0.17 < share.abs().max() < 0.22


def test_slanting_moves_what_is_above_against_what_is_below() -> None:
    rows, columns = between(distorted(across=False, slant=0.3), across=False).unbind(1)
    torch.testing.assert_close(rows, torch.full_like(rows, 8), rtol=0, atol=0.1)
    furthest = 0.3 * 33 / 29 * 8
    assert 0.9 * furthest < columns.abs().max() < 1.05 * furthest


def test_bending_moves_places_by_so_many_pixels_and_each_otherwise() -> None:
    moved = centres(distorted(bend_px=1.0)) - centres(blobs())
    # Between the points the displacements of several are averaged.
    assert (moved.std(0) > 0.3).all()
    assert (moved.std(0) < 1.2).all()
    assert moved.mean(0).abs().max() < 0.2


def test_a_negative_distortion_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        RandomDistortion(slant=-0.1)
