"""A layer of filters, each moved over the whole image with the same weights.

LeCun et al. (1989), *Backpropagation applied to handwritten zip code recognition*; the arithmetic of sizes as
in Dumoulin & Visin (2016), *A guide to convolution arithmetic for deep learning*, arXiv 1603.07285, eq. 6.
"""

from jaxtyping import Float
from torch import Tensor, nn

from modules.bricks.activation import activation_layer, initialise


class ConvolutionLayer(nn.Module):
    """Square filters over an image, then a nonlinearity.

    Args:
        in_channels: channels of the input.
        num_filters: filters, hence channels of the output.
        kernel_size: side of each filter, in pixels.
        stride: pixels that a filter moves at a time.
        padding: rows and columns of zeros put around the image.
        activation: name of the nonlinearity (see `modules.bricks.activation`).

    Raises:
        ValueError: if `activation` is unknown.
    """

    def __init__(
        self,
        in_channels: int,
        num_filters: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        activation: str = "identity",
    ) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(in_channels, num_filters, kernel_size, stride, padding)
        self.activation = activation_layer(activation)
        initialise(self.convolution, activation)

    def forward(
        self, maps: Float[Tensor, "batch in_channels height width"]
    ) -> Float[Tensor, "batch num_filters out_height out_width"]:
        return self.activation(self.convolution(maps))


def convolved_size(size_px: int, kernel_size: int, stride: int = 1, padding: int = 0) -> int:
    """The side of the maps that a window of `kernel_size` leaves of a side of `size_px` pixels.

    Raises:
        ValueError: if the window is larger than the padded image.
    """
    room = size_px + 2 * padding - kernel_size
    if room < 0:
        raise ValueError(
            f"a window of kernel_size={kernel_size} does not fit maps of {size_px}x{size_px} pixels"
            + (f" padded by {padding}" if padding else "")
        )
    return room // stride + 1
