"""The inception module: filters of several sizes side by side, each over few channels.

Szegedy et al. (2014), *Going deeper with convolutions*, arXiv 1409.4842, section 4 and figure 2b; the columns
of table 1 there (#1x1, #3x3 reduce, #3x3, #5x5 reduce, #5x5, pool proj) are the arguments. Deviates: batch
normalisation after each convolution, as in Ioffe & Szegedy (2015), arXiv 1502.03167, section 4.2.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from modules.bricks.convolution import ConvolutionLayer


class Inception(nn.Module):
    """1x1; 1x1 then 3x3; 1x1 then 5x5; pooling then 1x1: four branches whose maps are put together.

    Args:
        in_channels: channels of the input.
        num_1x1: filters of the first branch.
        num_3x3_reduced: 1x1 filters before those of 3x3.
        num_3x3: filters of 3x3.
        num_5x5_reduced: 1x1 filters before those of 5x5.
        num_5x5: filters of 5x5.
        num_pooled: 1x1 filters after the pooling.
        norm: name of the normalisation (see `modules.bricks.normalisation`).
        activation: name of the nonlinearity (see `modules.bricks.activation`).
    """

    def __init__(
        self,
        in_channels: int,
        num_1x1: int,
        num_3x3_reduced: int,
        num_3x3: int,
        num_5x5_reduced: int,
        num_5x5: int,
        num_pooled: int,
        norm: str = "batch",
        activation: str = "relu",
    ) -> None:
        super().__init__()

        def layer(inputs: int, filters: int, side: int) -> ConvolutionLayer:
            return ConvolutionLayer(
                inputs, filters, side, padding=side // 2, norm=norm, activation=activation
            )

        self.branch_1x1 = layer(in_channels, num_1x1, 1)
        self.branch_3x3 = nn.Sequential(
            layer(in_channels, num_3x3_reduced, 1), layer(num_3x3_reduced, num_3x3, 3)
        )
        self.branch_5x5 = nn.Sequential(
            layer(in_channels, num_5x5_reduced, 1), layer(num_5x5_reduced, num_5x5, 5)
        )
        self.branch_pooled = nn.Sequential(
            nn.MaxPool2d(kernel_size=3, stride=1, padding=1), layer(in_channels, num_pooled, 1)
        )
        self.out_channels = num_1x1 + num_3x3 + num_5x5 + num_pooled

    def forward(
        self, maps: Float[Tensor, "batch in_channels height width"]
    ) -> Float[Tensor, "batch out_channels height width"]:
        branches = (self.branch_1x1, self.branch_3x3, self.branch_5x5, self.branch_pooled)
        return torch.cat([branch(maps) for branch in branches], dim=1)
