"""Images seen in a mirror, each with a chance, and with each what lies in it: its boxes, its mask.

An augmentation that moves things is called with the images and, by keyword, with whatever else of the
samples has a place in them; it returns all of these, in that order, or the images alone.
"""

import torch
from jaxtyping import Float, Num, Shaped
from torch import Tensor, nn


class RandomHorizontalFlip(nn.Module):
    """Flip each sample left to right, or leave it.

    Args:
        probability: of a flip, 0..1.

    Raises:
        ValueError: if it is outside 0..1.
    """

    def __init__(self, probability: float = 0.5) -> None:
        super().__init__()
        if not 0 <= probability <= 1:
            raise ValueError(f"probability={probability} is outside 0..1")
        self.probability = probability

    def forward(
        self,
        images: Float[Tensor, "batch channels *depth height width"],
        *,
        boxes: Num[Tensor, "batch boxes 4"] | None = None,
        masks: Shaped[Tensor, "batch *depth height width"] | None = None,
    ) -> Tensor | tuple[Tensor, ...]:
        """The samples, some of them flipped.

        Args:
            images: of one size, or volumes.
            boxes: x0, y0, x1, y1 in pixels; those without a size are padding and stay.
            masks: of the images' size.
        """
        flipped = torch.rand(len(images), device=images.device) < self.probability
        found = [torch.where(flipped.view(-1, *[1] * (images.ndim - 1)), images.flip(-1), images)]
        if boxes is not None:
            left, top, right, bottom = boxes.unbind(-1)
            mirrored = torch.stack([images.shape[-1] - right, top, images.shape[-1] - left, bottom], dim=-1)
            moved = flipped[:, None] & (right > left)
            found.append(torch.where(moved[:, :, None], mirrored, boxes))
        if masks is not None:
            found.append(torch.where(flipped.view(-1, *[1] * (masks.ndim - 1)), masks.flip(-1), masks))
        return found[0] if len(found) == 1 else tuple(found)
