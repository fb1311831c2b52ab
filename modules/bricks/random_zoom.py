"""A part of each image enlarged, or the image made smaller, with each what lies in it: its boxes, its mask.

Liu et al. (2016), *SSD*, arXiv 1512.02325, sections 2.2 and 3.6: random crops and, for small objects, zooming
out; here one view of the image for each sample, whose proportions change a little as well.
"""

import torch
from jaxtyping import Float, Num, Shaped
from torch import Tensor, nn
from torch.nn import functional

from modules.bricks.boxes import box_areas


class RandomZoom(nn.Module):
    """A view of each image at another scale and place; what lies outside it is grey.

    Args:
        smallest: scale of the objects, below 1 zooming out.
        largest: likewise, above 1 zooming in.
        max_stretch: how much more the width is scaled than the height, or the other way round, as a share.
        min_seen: a box of which a smaller share is left is no longer there.

    Raises:
        ValueError: if scales are not above 0 and in order, or a share is outside 0..1.
    """

    def __init__(
        self, smallest: float = 0.7, largest: float = 1.4, max_stretch: float = 0.15, min_seen: float = 0.3
    ) -> None:
        super().__init__()
        if not 0 < smallest <= largest:
            raise ValueError(f"smallest={smallest}, largest={largest}: 0 < smallest <= largest")
        if not 0 <= max_stretch < 1 or not 0 <= min_seen <= 1:
            raise ValueError(f"max_stretch={max_stretch}, min_seen={min_seen}: shares from 0 to 1")
        self.smallest = smallest
        self.largest = largest
        self.max_stretch = max_stretch
        self.min_seen = min_seen

    def forward(
        self,
        images: Float[Tensor, "batch channels height width"],
        *,
        boxes: Num[Tensor, "batch boxes 4"] | None = None,
        masks: Shaped[Tensor, "batch height width"] | None = None,
    ) -> Tensor | tuple[Tensor, ...]:
        """The views, of the images' size.

        Args:
            images: of one size.
            boxes: x0, y0, x1, y1 in pixels; those without a size are padding and stay.
            masks: of the images' size; class 0 lies outside.
        """
        kind = {"device": images.device, "dtype": images.dtype}
        count, _, height, width = images.shape
        sampled = torch.rand(4, count, **kind)
        # Evenly in the logarithm, so that twice as large is as likely as half as large.
        ratio = torch.tensor(self.largest / self.smallest, **kind)
        scale = self.smallest * ratio ** sampled[0]
        stretch = ((1 + self.max_stretch) ** (2 * sampled[1] - 1)).sqrt()
        factors = torch.stack([scale * stretch, scale / stretch], dim=1)
        # In coordinates of -1..1 the view's middle may lie so far out that no more is grey than must be.
        room = (1 - 1 / factors).abs()
        middle = (2 * sampled[2:].T - 1) * room
        transform = torch.zeros(count, 2, 3, **kind)
        transform[:, 0, 0], transform[:, 1, 1] = 1 / factors[:, 0], 1 / factors[:, 1]
        transform[:, :, 2] = middle
        grid = functional.affine_grid(transform, [count, 1, height, width], align_corners=False)
        # Grey lies outside: the sampler puts zeros there.
        views = functional.grid_sample(images - 0.5, grid, mode="bilinear", align_corners=False) + 0.5
        found = [views]
        if boxes is not None:
            found.append(self._moved(boxes, factors, middle, height, width))
        if masks is not None:
            seen = functional.grid_sample(
                masks[:, None].to(images.dtype), grid, mode="nearest", align_corners=False
            )
            found.append(seen[:, 0].to(masks.dtype))
        return found[0] if len(found) == 1 else tuple(found)

    def _moved(self, boxes: Tensor, factors: Tensor, middle: Tensor, height: int, width: int) -> Tensor:
        sides = torch.tensor([width, height], device=boxes.device, dtype=boxes.dtype)
        corners = boxes.unflatten(-1, (2, 2)) / sides * 2 - 1
        placed = (corners - middle[:, None, None]) * factors[:, None, None]
        moved = ((placed + 1) / 2 * sides).flatten(-2)
        limits = torch.cat([sides, sides])
        left = torch.minimum(moved.clamp(min=0), limits)
        there = (boxes[..., 2:] > boxes[..., :2]).all(-1)
        seen = box_areas(left) >= self.min_seen * box_areas(moved)
        return torch.where((there & seen)[..., None], left, torch.zeros_like(left))
