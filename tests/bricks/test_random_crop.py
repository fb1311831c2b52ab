"""Crops: windows of the images, from everywhere, each image its own."""

import pytest
import torch

from modules.bricks.random_crop import RandomCrop


def test_a_crop_is_a_window_of_its_image() -> None:
    torch.manual_seed(0)
    rows, columns = torch.arange(6.0)[:, None], torch.arange(9.0)
    image = torch.stack([(10 * rows + columns), -(10 * rows + columns)])
    images = torch.stack([image + 100 * number for number in range(200)])
    crops = RandomCrop(4, 5)(images)
    assert crops.shape == (200, 2, 4, 5)
    corners = set()
    for number, crop in enumerate(crops):
        row, column = divmod(int(crop[0, 0, 0]) - 100 * number, 10)
        assert torch.equal(crop, images[number, :, row : row + 4, column : column + 5])
        corners.add((row, column))
    assert corners == {(row, column) for row in range(3) for column in range(5)}


def test_a_crop_may_be_the_whole_image() -> None:
    images = torch.rand(2, 3, 4, 5)
    assert torch.equal(RandomCrop(4, 5)(images), images)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\[4, 6\] pixels does not fit images of \[4, 5\]"):
        RandomCrop(4, 6)(torch.rand(1, 3, 4, 5))
    with pytest.raises(ValueError, match="at least one pixel"):
        RandomCrop(0, 3)
