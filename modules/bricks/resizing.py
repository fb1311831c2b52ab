"""Images of another size, between the data and the net."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


class Resize(nn.Module):
    """Stretch each image to a given size, each new pixel a weighted mean of its neighbours (bilinear).

    What is made smaller is smoothed first, so that no pattern appears which was not there.

    Args:
        height_px: rows of the result.
        width_px: columns of the result.

    Raises:
        ValueError: if a size is below 1.
    """

    def __init__(self, height_px: int, width_px: int) -> None:
        super().__init__()
        if min(height_px, width_px) < 1:
            raise ValueError(f"height_px={height_px}, width_px={width_px}: an image has at least one pixel")
        self.size = (height_px, width_px)

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height_px width_px"]:
        # torch has no smoothing in half precision on a CPU.
        wide = images.to(torch.promote_types(images.dtype, torch.float32))
        resized = functional.interpolate(wide, self.size, mode="bilinear", antialias=True)
        return resized.to(images.dtype)
