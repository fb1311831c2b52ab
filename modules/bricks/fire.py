"""The fire module: few filters look at all channels, and many look at the few.

Iandola et al. (2016), *SqueezeNet*, section 3.2 and figure 1, arXiv 1602.07360: s1x1 there is
`num_squeezed`, e1x1 and e3x3, which are equal in that net, are `num_expanded`.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from modules.bricks.convolution import ConvolutionLayer


class Fire(nn.Module):
    """1x1 filters, then as many 1x1 as 3x3 filters side by side, each with a rectifier.

    Args:
        in_channels: channels of the input.
        num_squeezed: filters of the first layer.
        num_expanded: filters of either size in the second, which hence gives twice as many channels.
    """

    def __init__(self, in_channels: int, num_squeezed: int, num_expanded: int) -> None:
        super().__init__()
        self.squeeze = ConvolutionLayer(in_channels, num_squeezed, 1, activation="relu")
        self.expand1x1 = ConvolutionLayer(num_squeezed, num_expanded, 1, activation="relu")
        self.expand3x3 = ConvolutionLayer(num_squeezed, num_expanded, 3, padding=1, activation="relu")

    def forward(
        self, maps: Float[Tensor, "batch in_channels height width"]
    ) -> Float[Tensor, "batch expanded height width"]:
        squeezed = self.squeeze(maps)
        return torch.cat([self.expand1x1(squeezed), self.expand3x3(squeezed)], dim=1)
