"""Which default box learns which object, and which others learn that there is none.

Liu et al. (2016), *SSD*, arXiv 1512.02325, section 2.2: each object's best default box is its own (bipartite
matching, as in MultiBox, Erhan et al. 2014, arXiv 1312.2249), and so is every other that overlaps it by more
than a half; of the rest, those that are most wrong are learned from, three for each that is matched.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from modules.bricks.boxes import box_overlaps


def match(
    boxes: Float[Tensor, "batch objects 4"],
    num_objects: Int[Tensor, " batch"],
    default_boxes: Float[Tensor, "boxes 4"],
    min_overlap: float = 0.5,
) -> tuple[Int[Tensor, "batch boxes"], Float[Tensor, "batch objects"]]:
    """The object that each default box is to name.

    Args:
        boxes: of the objects, one row at least; those from `num_objects` on are padding.
        num_objects: in each image.
        default_boxes: of a detector.
        min_overlap: intersection over union above which a default box is an object's own, though another
            overlaps it more.

    Returns:
        The object's number in its image, -1 where there is none; and of each object the largest overlap with
        any default box, -1 of padding.
    """
    there = torch.arange(boxes.shape[1], device=boxes.device) < num_objects[:, None]
    overlaps = box_overlaps(boxes, default_boxes.expand(len(boxes), -1, -1))
    overlaps = overlaps.masked_fill(~there[:, :, None], -1.0)
    best, owner = overlaps.max(dim=1)
    matched = torch.where(best > min_overlap, owner, -1)
    reached = overlaps.amax(dim=2)
    images = torch.arange(len(boxes), device=boxes.device)
    left = overlaps
    for _ in range(boxes.shape[1]):
        # The best pair of an object and a default box that both are still free.
        best, place = left.flatten(1).max(dim=1)
        objects = place.div(len(default_boxes), rounding_mode="floor")
        chosen = place - objects * len(default_boxes)
        matched[images, chosen] = torch.where(best >= 0, objects, matched[images, chosen])
        left = left.clone()
        left[images, objects] = -1.0
        left[images, :, chosen] = -1.0
    return matched, reached


def hard_negatives(
    losses: Float[Tensor, "batch boxes"], positive: Bool[Tensor, "batch boxes"], ratio: float = 3.0
) -> Bool[Tensor, "batch boxes"]:
    """The default boxes without an object that are most wrong.

    Args:
        losses: of saying that there is none.
        positive: which boxes have an object.
        ratio: how many for each that has one; of an image without objects as many as for one of these.
    """
    wanted = (positive.sum(dim=1, keepdim=True).clamp(min=1) * ratio).long()
    rank = losses.detach().masked_fill(positive, -1.0).argsort(dim=1, descending=True).argsort(dim=1)
    return (rank < wanted) & ~positive
