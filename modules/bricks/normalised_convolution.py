"""Convolution, batch normalisation, nonlinearity: the unit of which deep nets are made.

Ioffe & Szegedy (2015), *Batch normalization*, section 3.2, arXiv 1502.03167: gamma and beta there are
`weight` and `bias` of `normalisation`. Here epsilon is 0.001 and running means take a tenth of each batch.
"""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from modules.bricks.activation import activation_layer, initialise


class NormalisedConvolution(nn.Module):
    """Square filters over an image padded with zeros, each filter's answers normalised over the batch.

    Args:
        in_channels: channels of the input.
        num_filters: filters, hence channels of the output.
        kernel_size: side of each filter, in pixels.
        stride: pixels that a filter moves at a time; the output has ceil(size / stride) of them.
        groups: parts into which the channels are cut, each with filters of its own; as many as channels makes
            the convolution depthwise.
        activation: name of the nonlinearity (see `modules.bricks.activation`).

    Raises:
        ValueError: if `activation` is unknown or `groups` does not divide the channels.
    """

    def __init__(
        self,
        in_channels: int,
        num_filters: int,
        kernel_size: int,
        stride: int = 1,
        groups: int = 1,
        activation: str = "identity",
    ) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(in_channels, num_filters, kernel_size, stride, groups=groups, bias=False)
        self.normalisation = nn.BatchNorm2d(num_filters, eps=1e-3)
        self.activation = activation_layer(activation)
        initialise(self.convolution, activation)

    def forward(
        self, maps: Float[Tensor, "batch in_channels height width"]
    ) -> Float[Tensor, "batch num_filters out_height out_width"]:
        (kernel_size, _), (stride, _) = self.convolution.kernel_size, self.convolution.stride
        height, width = (same_padding(size, kernel_size, stride) for size in maps.shape[-2:])
        return self.activation(self.normalisation(self.convolution(functional.pad(maps, (*width, *height)))))


def same_padding(size_px: int, kernel_size: int, stride: int) -> tuple[int, int]:
    """Zeros before and after a side so that ceil(size / stride) windows fit it; an odd one comes after."""
    total = max((-(-size_px // stride) - 1) * stride + kernel_size - size_px, 0)
    return total // 2, total - total // 2
