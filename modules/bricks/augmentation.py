"""Images changed a little at every look, so that the net learns what does not matter.

Simard, Steinkraus & Platt (2003), *Best practices for convolutional neural networks applied to visual
document analysis*, section 2.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


class RandomShift(nn.Module):
    """Move each image by a whole number of pixels, sampled for each, and fill with zeros.

    Args:
        max_shift_px: largest shift along each axis, in pixels.

    Raises:
        ValueError: if `max_shift_px` is negative.
    """

    def __init__(self, max_shift_px: int) -> None:
        super().__init__()
        if max_shift_px < 0:
            raise ValueError(f"max_shift_px={max_shift_px} is negative")
        self.max_shift_px = max_shift_px

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        batch, _, height, width = images.shape
        margin = self.max_shift_px
        padded = functional.pad(images, (margin, margin, margin, margin))
        # One window of the original size for each image, its corner (row, column) sampled at random.
        corners = torch.randint(0, 2 * margin + 1, (batch, 2), device=images.device)
        rows = corners[:, :1] + torch.arange(height, device=images.device)
        columns = corners[:, 1:] + torch.arange(width, device=images.device)
        samples = torch.arange(batch, device=images.device)[:, None, None]
        # Advanced indices around a slice put the slice's axis last: (batch, height, width, channels).
        return padded[samples, :, rows[:, :, None], columns[:, None, :]].movedim(-1, 1)
