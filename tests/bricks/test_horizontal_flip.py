"""A flipped image flips its boxes and its mask."""

import pytest
import torch

from modules.bricks.horizontal_flip import RandomHorizontalFlip


def test_boxes_and_masks_go_with_their_images() -> None:
    torch.manual_seed(0)
    images = torch.zeros(64, 1, 6, 9)
    boxes = torch.zeros(64, 3, 4)
    boxes[:, 0] = torch.tensor([1.0, 2.0, 4.0, 5.0])
    boxes[:, 1] = torch.tensor([6.0, 0.0, 9.0, 6.0])
    masks = torch.zeros(64, 6, 9, dtype=torch.bool)
    images[:, :, 2:5, 1:4] = 1.0
    masks[:, 2:5, 1:4] = True
    found, moved, inside = RandomHorizontalFlip()(images, boxes=boxes, masks=masks)
    flipped = (found != images).flatten(1).any(1)
    assert 20 < int(flipped.sum()) < 44
    assert torch.equal(found[:, 0] > 0, inside)
    for image, box, other, padding in zip(found, moved[:, 0], moved[:, 1], moved[:, 2], strict=True):
        left, top, right, bottom = map(int, box)
        assert image[0, top:bottom, left:right].sum() == image.sum() == 9
        assert other.tolist() in ([6, 0, 9, 6], [0, 0, 3, 6])
        assert padding.tolist() == [0, 0, 0, 0], "what is no box stays none"


def test_images_alone_are_given_alone() -> None:
    images = torch.arange(6.0).view(1, 1, 2, 3)
    assert torch.equal(RandomHorizontalFlip(1.0)(images), images.flip(-1))
    assert torch.equal(RandomHorizontalFlip(0.0)(images), images)
    with pytest.raises(ValueError, match=r"probability=1\.5 is outside 0\.\.1"):
        RandomHorizontalFlip(1.5)
