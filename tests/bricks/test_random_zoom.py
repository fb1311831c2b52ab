"""Zooming moves boxes and masks with their images."""

import pytest
import torch

from modules.bricks.augmentation_chain import AugmentationChain
from modules.bricks.colour_change import RandomColourChange
from modules.bricks.horizontal_flip import RandomHorizontalFlip
from modules.bricks.random_zoom import RandomZoom


def scene(count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """White rectangles on black, with their boxes and masks; of the second box there is none."""
    images, masks = torch.zeros(count, 3, 40, 60), torch.zeros(count, 40, 60, dtype=torch.uint8)
    images[:, :, 10:26, 20:44] = 1.0
    masks[:, 10:26, 20:44] = 7
    boxes = torch.tensor([[20.0, 10.0, 44.0, 26.0], [0.0, 0.0, 0.0, 0.0]]).repeat(count, 1, 1)
    return images, boxes, masks


@pytest.mark.parametrize("brick", [
    RandomZoom(0.6, 1.3, 0.2),
    AugmentationChain([RandomHorizontalFlip(), RandomColourChange(), RandomZoom(0.8, 1.2)]),
])  # fmt: skip
def test_boxes_and_masks_stay_with_what_they_are_of(brick: torch.nn.Module) -> None:
    torch.manual_seed(0)
    views, boxes, masks = brick(*scene(30)[:1], boxes=scene(30)[1], masks=scene(30)[2])
    assert masks.dtype == torch.uint8 and set(masks.unique().tolist()) <= {0, 7}
    assert (boxes[:, 1] == 0).all()
    kept = boxes[:, 0, 2] > 0
    assert kept.sum() > 20
    for view, box, mask in zip(views[kept], boxes[kept, 0], masks[kept], strict=True):
        rows, columns = torch.where(mask == 7)
        seen = torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        assert (seen - box).abs().max() <= 1.0
        inside = mask == 7
        assert view[:, inside].mean() > 0.7


def test_a_view_of_scale_one_is_the_image() -> None:
    images, boxes, masks = scene(4)
    views, same_boxes, same_masks = RandomZoom(1.0, 1.0, 0.0)(images, boxes=boxes, masks=masks)
    torch.testing.assert_close(views, images)
    torch.testing.assert_close(same_boxes, boxes)
    assert torch.equal(same_masks, masks)
    torch.testing.assert_close(RandomZoom(1.0, 1.0, 0.0)(images), images)


def test_boxes_that_are_hardly_seen_are_gone() -> None:
    torch.manual_seed(1)
    images = torch.zeros(200, 1, 40, 40)
    corner = torch.tensor([[[0.0, 0.0, 4.0, 4.0]]]).repeat(200, 1, 1)
    _, boxes = RandomZoom(2.0, 2.0, 0.0, min_seen=0.5)(images, boxes=corner)
    sides = boxes[:, 0, 2:] - boxes[:, 0, :2]
    gone = (sides == 0).all(1)
    assert 0 < gone.sum() < 200
    assert (sides[~gone].prod(1) >= 0.5 * 64 - 1e-3).all()


def test_colours_leave_0_to_1_never_and_places_alone() -> None:
    torch.manual_seed(2)
    images = torch.rand(20, 3, 8, 8)
    changed = RandomColourChange(0.5, 0.5, 0.3)(images)
    assert changed.min() >= 0 and changed.max() <= 1 and not torch.allclose(changed, images)
    torch.testing.assert_close(RandomColourChange(0.0, 0.0, 0.0)(images), images)


@pytest.mark.parametrize("refused", [
    lambda: RandomZoom(0.0, 1.0), lambda: RandomZoom(2.0, 1.0), lambda: RandomZoom(max_stretch=1.0),
    lambda: RandomColourChange(brightness=2.0), lambda: AugmentationChain([]),
])  # fmt: skip
def test_refused(refused) -> None:
    with pytest.raises(ValueError, match=r"smallest|shares|from 0 to 1|empty"):
        refused()
