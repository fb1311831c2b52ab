"""The inverted residual: wide inside, narrow outside, and the narrow ends joined by a shortcut.

Sandler et al. (2018), *MobileNetV2: inverted residuals and linear bottlenecks*, figure 4b and table 1,
arXiv 1801.04381. Called MBConv in Tan & Le (2019), *EfficientNet*, arXiv 1905.11946, which adds
squeeze-and-excitation; its Lite nets, like this one, leave that out. t there is `expansion`, s is `stride`.
"""

from jaxtyping import Float
from torch import Tensor, nn

from modules.bricks.convolution import ConvolutionLayer


class InvertedResidual(nn.Module):
    """Expand by 1x1, filter each channel alone, project by 1x1 without a nonlinearity.

    Args:
        in_channels: channels of the input.
        num_filters: filters of the last convolution, hence channels of the output; where the input has as
            many channels and `stride` is 1, it is added.
        kernel_size: side of the filters in the middle, in pixels.
        stride: pixels that they move at a time.
        expansion: how many times wider the middle is; 1 leaves the first convolution out.
        activation: nonlinearity of the wide layers (see `modules.bricks.activation`).
    """

    def __init__(
        self,
        in_channels: int,
        num_filters: int,
        kernel_size: int = 3,
        stride: int = 1,
        expansion: int = 6,
        activation: str = "relu6",
    ) -> None:
        super().__init__()
        wide = in_channels * expansion
        self.expand = (
            ConvolutionLayer(in_channels, wide, 1, norm="batch", activation=activation)
            if expansion > 1
            else nn.Identity()
        )
        self.depthwise = ConvolutionLayer(
            wide, wide, kernel_size, stride, "same", groups=wide, norm="batch", activation=activation
        )
        self.project = ConvolutionLayer(wide, num_filters, 1, norm="batch")
        self.adds_input = stride == 1 and in_channels == num_filters

    def forward(
        self, maps: Float[Tensor, "batch in_channels height width"]
    ) -> Float[Tensor, "batch num_filters out_height out_width"]:
        answer = self.project(self.depthwise(self.expand(maps)))
        return maps + answer if self.adds_input else answer
