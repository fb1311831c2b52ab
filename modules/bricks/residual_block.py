"""The residual block: layers learn what is to be added to their input, which goes past them unchanged.

He, Zhang, Ren & Sun (2015), *Deep residual learning for image recognition*, arXiv 1512.03385: section 3.2,
eq. 1 and 2, and figure 5 (two layers of 3x3; or a bottleneck of 1x1, 3x3 and 1x1). The shortcut is a
projection (option B there) where sizes differ, else the identity. Pre-activation: He et al. (2016), *Identity
mappings in deep residual networks*, arXiv 1603.05027, figure 4e: normalisation and nonlinearity come before
each convolution, and nothing after the sum.
"""

from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from modules.bricks.activation import activation_layer
from modules.bricks.convolution import ConvolutionLayer

BOTTLENECK = 4
"""Channels that a bottleneck gives for each filter in its middle; section 4.1 of the first paper."""


class ResidualBlock(nn.Module):
    """Two convolutions of 3x3, or a bottleneck of three, and their input added to what they give.

    Args:
        in_channels: channels of the input.
        num_filters: filters of the 3x3 convolutions; the output has as many channels, of a bottleneck four
            times as many.
        stride: pixels that the first 3x3 filters move at a time.
        bottleneck: whether a 1x1 convolution narrows the maps before the 3x3 and another widens them after.
        pre_activation: whether normalisation and nonlinearity come before each convolution.
        shortcut: whether the input is added; without, the layers are those of a plain net.
        norm: name of the normalisation (see `modules.bricks.normalisation`).
        activation: name of the nonlinearity (see `modules.bricks.activation`).
        padding_mode: what lies around the maps: `zeros`, or `reflect`, the maps in a mirror.
    """

    def __init__(
        self,
        in_channels: int,
        num_filters: int,
        stride: int = 1,
        bottleneck: bool = False,
        pre_activation: bool = False,
        shortcut: bool = True,
        norm: str = "batch",
        activation: str = "relu",
        padding_mode: Literal["zeros", "reflect"] = "zeros",
    ) -> None:
        super().__init__()
        out_channels = num_filters * (BOTTLENECK if bottleneck else 1)
        sides = [1, 3, 1] if bottleneck else [3, 3]
        widths = [in_channels, *[num_filters] * (len(sides) - 1), out_channels]
        last = len(sides) - 1
        self.layers = nn.Sequential(
            *(
                ConvolutionLayer(
                    widths[number],
                    widths[number + 1],
                    side,
                    stride=stride if number == sides.index(3) else 1,
                    padding=side // 2,
                    norm=norm,
                    activation="identity" if number == last and not pre_activation else activation,
                    pre_activation=pre_activation,
                    padding_mode=padding_mode,
                )
                for number, side in enumerate(sides)
            )
        )
        changes = stride != 1 or in_channels != out_channels
        projection = ConvolutionLayer(
            in_channels, out_channels, 1, stride, norm="none" if pre_activation else norm
        )
        self.shortcut = (projection if changes else nn.Identity()) if shortcut else None
        self.activation = activation_layer("identity" if pre_activation else activation)

    def forward(
        self, maps: Float[Tensor, "batch in_channels height width"]
    ) -> Float[Tensor, "batch out_channels out_height out_width"]:
        answer = self.layers(maps)
        if self.shortcut is not None:
            answer = answer + self.shortcut(maps)
        return self.activation(answer)
