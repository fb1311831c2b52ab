"""A layer of filters that paints: each number of a map lays a filter's pattern into a larger image.

Zeiler, Krishnan, Taylor & Fergus (2010), *Deconvolutional networks*, for the name; the arithmetic of sizes as
in Dumoulin & Visin (2016), *A guide to convolution arithmetic for deep learning*, arXiv 1603.07285, section
4.5. Of a `kernel_size` that is a multiple of `stride` each pixel is painted equally often, which avoids
checkerboards (Odena, Dumoulin & Olah 2016, *Deconvolution and checkerboard artifacts*, Distill).
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from modules.bricks.activation import activation_layer, initialise
from modules.bricks.normalisation import normalisation_layer


class DeconvolutionLayer(nn.Module):
    """The transpose of a strided convolution, then a nonlinearity.

    Args:
        in_channels: channels of the input.
        num_filters: channels of the output.
        kernel_size: side of each filter, in pixels.
        stride: pixels between the patterns of two neighbours.
        padding: rows and columns cut off around the output.
        output_padding: rows and columns added below and to the right, (height, width); each less than
            `stride`. See `lost_size`.
        norm: name of the normalisation (see `modules.bricks.normalisation`), which brings the bias.
        activation: name of the nonlinearity (see `modules.bricks.activation`).

    Raises:
        ValueError: if `norm` or `activation` is unknown.
    """

    def __init__(
        self,
        in_channels: int,
        num_filters: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        output_padding: tuple[int, int] = (0, 0),
        norm: str = "none",
        activation: str = "identity",
    ) -> None:
        super().__init__()
        self.deconvolution = nn.ConvTranspose2d(
            in_channels, num_filters, kernel_size, stride, padding, output_padding, bias=norm == "none"
        )
        self.normalisation = normalisation_layer(norm, num_filters)
        self.activation = activation_layer(activation)
        initialise(self.deconvolution, activation)
        with torch.no_grad():  # a pixel sums over (kernel_size / stride)^2 places only, not all of a filter
            self.deconvolution.weight.mul_(stride)

    def forward(
        self, maps: Float[Tensor, "batch in_channels height width"]
    ) -> Float[Tensor, "batch num_filters out_height out_width"]:
        return self.activation(self.normalisation(self.deconvolution(maps)))


def lost_size(size_px: int, kernel_size: int, stride: int, padding: int = 0) -> int:
    """The rows or columns at the end of a side that a strided window never reaches.

    As `output_padding` it makes a deconvolution give back the very size that the convolution of the same
    kernel, stride and padding took.
    """
    return (size_px + 2 * padding - kernel_size) % stride
