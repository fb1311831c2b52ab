"""Boxes as tensors [..., 4]: x0, y0, x1, y1 in pixels; overlaps, and boxes as offsets from default boxes.

Girshick et al. (2014), *Rich feature hierarchies*, arXiv 1311.2524, appendix C, for the offsets; Liu et al.
(2016), *SSD*, arXiv 1512.02325, section 2.2, equation 2. Their values are divided by 0.1 (places) and 0.2
(sizes), so that they are about of size 1, as in the authors' program.
"""

import torch
from jaxtyping import Float, Num
from torch import Tensor

_PLACE_SCALE, _SIZE_SCALE = 0.1, 0.2
_LARGEST_LOG = 4.0
"""A box is at most so many e-foldings larger than its default box; untrained nets say anything."""


def box_areas(boxes: Num[Tensor, "*boxes 4"]) -> Num[Tensor, "*boxes"]:
    """In square pixels; of a box whose sides are in the wrong order 0."""
    sides = (boxes[..., 2:] - boxes[..., :2]).clamp(min=0)
    return sides[..., 0] * sides[..., 1]


def box_overlaps(
    one: Float[Tensor, "*batch first 4"], other: Float[Tensor, "*batch second 4"]
) -> Float[Tensor, "*batch first second"]:
    """Intersection over union of each box of one list with each of another; 0 where both are empty."""
    first, second = one[..., :, None, :], other[..., None, :, :]
    width = torch.minimum(first[..., 2], second[..., 2]) - torch.maximum(first[..., 0], second[..., 0])
    height = torch.minimum(first[..., 3], second[..., 3]) - torch.maximum(first[..., 1], second[..., 1])
    intersection = width.clamp_(min=0) * height.clamp_(min=0)
    union = box_areas(one)[..., :, None] + box_areas(other)[..., None, :] - intersection
    return intersection / union.clamp_(min=torch.finfo(union.dtype).tiny)


def encode_boxes(
    boxes: Float[Tensor, "*batch boxes 4"], default_boxes: Float[Tensor, "boxes 4"]
) -> Float[Tensor, "*batch boxes 4"]:
    """Boxes as offsets from default boxes: of the centre, and of the logarithm of the sides."""
    centre, sides = _centre_and_sides(boxes)
    default_centre, default_sides = _centre_and_sides(default_boxes)
    places = (centre - default_centre) / default_sides / _PLACE_SCALE
    return torch.cat([places, (sides / default_sides).log() / _SIZE_SCALE], dim=-1)


def decode_boxes(
    offsets: Float[Tensor, "*batch boxes 4"], default_boxes: Float[Tensor, "*of boxes 4"]
) -> Float[Tensor, "*batch boxes 4"]:
    """The boxes that offsets from default boxes, of all images or of each, stand for."""
    default_centre, default_sides = _centre_and_sides(default_boxes)
    centre = offsets[..., :2] * _PLACE_SCALE * default_sides + default_centre
    sides = (offsets[..., 2:] * _SIZE_SCALE).clamp(max=_LARGEST_LOG).exp() * default_sides
    return torch.cat([centre - sides / 2, centre + sides / 2], dim=-1)


def clip_boxes(boxes: Float[Tensor, "*boxes 4"], height: int, width: int) -> Float[Tensor, "*boxes 4"]:
    """What of boxes lies within an image."""
    x0, y0, x1, y1 = boxes.unbind(-1)
    sides = (x0.clamp(0, width), y0.clamp(0, height), x1.clamp(0, width), y1.clamp(0, height))
    return torch.stack(sides, dim=-1)


def _centre_and_sides(boxes: Float[Tensor, "*boxes 4"]) -> tuple[Tensor, Tensor]:
    return (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
