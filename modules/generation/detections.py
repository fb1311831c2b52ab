"""From what a detector says of its default boxes to the objects that it names.

Liu et al. (2016), *SSD*, arXiv 1512.02325, section 3.1: the classes of all default boxes by their scores,
non-maximum suppression class by class, the best of what is left.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from modules.bricks.boxes import box_overlaps, clip_boxes, decode_boxes
from modules.models.convolutional.ssd import Detections

_BLOCK = 128
"""Boxes that are compared with all below them at a time: what is suppressed by then is compared no more."""


def detect(
    detections: Detections,
    height: int,
    width: int,
    max_boxes: int = 100,
    max_overlap: float = 0.45,
    min_score: float = 0.01,
) -> tuple[Float[Tensor, "batch boxes 4"], Float[Tensor, "batch boxes"], Int[Tensor, "batch boxes"]]:
    """The most probable objects of each image, the most probable first.

    Args:
        detections: of a batch.
        height: of the images, in pixels.
        width: of the images, in pixels.
        max_boxes: that are looked at and given for each image.
        max_overlap: with a more probable box of its class; one that overlaps more is left out.
        min_score: a less probable one is left out.

    Returns:
        Boxes in pixels, probabilities, class numbers; what is left out has a probability of 0.
    """
    scores = detections.logits.float().softmax(-1)[..., 1:]
    num_classes = scores.shape[-1]
    best, places = scores.flatten(1).topk(min(max_boxes, scores.shape[1] * num_classes), dim=1)
    classes = places % num_classes
    chosen = (places // num_classes)[..., None].expand(-1, -1, 4)
    offsets = detections.offsets.float().gather(1, chosen)
    defaults = detections.default_boxes.float().expand(scores.shape[0], -1, -1).gather(1, chosen)
    boxes = clip_boxes(decode_boxes(offsets, defaults), height, width)
    keep = suppress(boxes, classes, max_overlap) & (best >= min_score)
    return boxes, best * keep, classes


def suppress(
    boxes: Float[Tensor, "batch boxes 4"], classes: Int[Tensor, "batch boxes"], max_overlap: float
) -> Bool[Tensor, "batch boxes"]:
    """Non-maximum suppression: which boxes are kept, of boxes whose scores fall.

    A box goes where a kept one above it, of its image and class, overlaps it by more than `max_overlap`.

    Args:
        boxes: x0, y0, x1, y1.
        classes: numbers.
        max_overlap: intersection over union.
    """
    if torch.compiler.is_exporting():
        same = classes[:, :, None] == classes[:, None, :]
        return _kept_of(((box_overlaps(boxes, boxes) > max_overlap) & same).triu(1).to(boxes.dtype)) > 0
    images = torch.arange(boxes.shape[0], device=boxes.device)[:, None]
    groups = (images * (int(classes.max()) + 1) + classes).flatten()
    # Each group becomes a row, padded by boxes without size, which overlap nothing.
    order = groups.argsort(stable=True)
    counts = groups.bincount()
    row = groups[order]
    column = torch.arange(len(order), device=boxes.device) - (counts.cumsum(0) - counts)[row]
    grid = boxes.new_zeros(4, len(counts), int(counts.max()))
    grid[:, row, column] = boxes.flatten(0, 1)[order].T
    keep = torch.empty_like(groups, dtype=torch.bool)
    keep[order] = _suppress_rows(grid, max_overlap)[row, column]
    return keep.view(classes.shape)


def _suppress_rows(
    edges: Float[Tensor, "4 groups boxes"], max_overlap: float
) -> Bool[Tensor, "groups boxes"]:
    """Of rows of boxes; a block of each row is compared with all that follows at a time."""
    left, top, right, bottom = edges
    # inter / (a + b - inter) > t is inter > (a + b) * t / (1 + t): no quotient for each pair.
    areas = (right - left) * (bottom - top) * (max_overlap / (1 + max_overlap))
    keep = torch.ones_like(areas)
    for start in range(0, areas.shape[1], _BLOCK):
        block, rest = slice(start, start + _BLOCK), slice(start, None)
        conflicts = torch.minimum(right[:, block, None], right[:, None, rest])
        conflicts -= torch.maximum(left[:, block, None], left[:, None, rest])
        height = torch.minimum(bottom[:, block, None], bottom[:, None, rest])
        height -= torch.maximum(top[:, block, None], top[:, None, rest])
        conflicts.clamp_(min=0).mul_(height.clamp_(min=0)).sub_(areas[:, None, rest])
        conflicts = (conflicts > areas[:, block, None]).to(areas.dtype)
        size = conflicts.shape[1]
        within = conflicts[:, :, :size].triu(1) * keep[:, block, None]
        kept = _kept_of(within) * keep[:, block]
        keep[:, block] = kept
        keep[:, start + size :] *= (kept[:, None] @ conflicts[:, :, size:])[:, 0] == 0
    return keep > 0


def _kept_of(conflicts: Float[Tensor, "groups boxes boxes"]) -> Float[Tensor, "groups boxes"]:
    """1 for each box that no kept one before it suppresses, else 0.

    Whether one is kept depends on those before it alone; so all are taken for kept, and every round gets at
    least one more right. An exported program takes as many rounds as boxes, others stop when nothing changes.
    """
    keep = torch.ones_like(conflicts[:, :1])
    for _ in range(conflicts.shape[1]):
        before, keep = keep, (keep @ conflicts == 0).to(conflicts.dtype)
        if not torch.compiler.is_exporting() and before.equal(keep):
            break
    return keep[:, 0]
