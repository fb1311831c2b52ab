"""Maps made larger by a transposed convolution that begins as bilinear interpolation and goes on learning.

Long, Shelhamer & Darrell (2015), *Fully convolutional networks for semantic segmentation*, arXiv 1411.4038,
section 3.3 and 4.1.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class LearnedUpsampling(nn.Module):
    """Each channel enlarged by a whole factor; what channels give to each other is learned from zero.

    Args:
        num_channels: of the input and the output.
        factor: pixels of the output for each of the input, along either axis; even.

    Raises:
        ValueError: if the factor is odd or below 2.
    """

    def __init__(self, num_channels: int, factor: int) -> None:
        super().__init__()
        if factor < 2 or factor % 2:
            raise ValueError(f"factor={factor} is not 2, 4, 6, ...")
        self.deconvolution = nn.ConvTranspose2d(
            num_channels, num_channels, 2 * factor, stride=factor, padding=factor // 2, bias=False
        )
        with torch.no_grad():
            self.deconvolution.weight.copy_(
                torch.eye(num_channels)[:, :, None, None] * bilinear_filter(factor)
            )

    def forward(
        self, maps: Float[Tensor, "batch num_channels height width"]
    ) -> Float[Tensor, "batch num_channels out_height out_width"]:
        return self.deconvolution(maps)


def bilinear_filter(factor: int) -> Float[Tensor, "side side"]:
    """The filter, of side 2 * factor, by which a transposed convolution interpolates."""
    distance = (torch.arange(2 * factor) + 0.5 - factor).abs() / factor
    return torch.outer(1 - distance, 1 - distance)
