"""Default boxes: what a detector's boxes are offsets from, several shapes at each place of each map.

Liu et al. (2016), *SSD: single shot multibox detector*, arXiv 1512.02325, section 2.2: at each place a square
of the map's own size, one of the geometric mean of this and the next map's, and one of the map's size for
each further aspect ratio.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import sqrt

import torch
from jaxtyping import Float
from torch import Tensor, nn


class DefaultBoxes(nn.Module):
    """The default boxes of some maps.

    Args:
        strides: pixels of the image from one place of each map to the next.
        sizes_px: side of the square default box of each map, and one more, which would be the next map's.
        aspect_ratios: width by height, of the further boxes at each place.

    Raises:
        ValueError: there is not one size more than strides, or a size or ratio is not above 0.
    """

    def __init__(
        self,
        strides: Sequence[int],
        sizes_px: Sequence[int | float],
        aspect_ratios: Sequence[int | float] = (2.0, 0.5),
    ) -> None:
        super().__init__()
        if len(sizes_px) != len(strides) + 1:
            raise ValueError(
                f"sizes_px has {len(sizes_px)} sizes; {len(strides)} maps take one more than these"
            )
        if min(*sizes_px, *aspect_ratios) <= 0:
            raise ValueError(f"sizes_px={list(sizes_px)}, aspect_ratios={list(aspect_ratios)}: all above 0")
        self.strides = list(strides)
        self.shapes = [
            [(size, size), (sqrt(size * larger),) * 2]
            + [(size * sqrt(ratio), size / sqrt(ratio)) for ratio in aspect_ratios]
            for size, larger in pairwise(sizes_px)
        ]

    @property
    def num_per_place(self) -> int:
        """Boxes at each place of a map."""
        return len(self.shapes[0])

    def forward(self, maps: Sequence[Float[Tensor, "batch _ _ _"]]) -> Float[Tensor, "boxes 4"]:
        """All boxes as x0, y0, x1, y1 in pixels: map by map, row by row, place by place."""
        found = []
        for map_, stride, shapes in zip(maps, self.strides, self.shapes, strict=True):
            kind = {"device": map_.device, "dtype": torch.get_default_dtype()}
            sides = torch.tensor(shapes, **kind)
            y, x = ((torch.arange(size, **kind) + 0.5) * stride for size in map_.shape[2:])
            centres = torch.stack([x.expand(len(y), -1), y[:, None].expand(-1, len(x))], dim=-1)
            centres = centres[:, :, None, :].expand(-1, -1, len(shapes), -1)
            found.append(torch.cat([centres - sides / 2, centres + sides / 2], dim=-1).view(-1, 4))
        return torch.cat(found)
