"""A layer of filters, each moved over the whole image with the same weights.

LeCun et al. (1989), *Backpropagation applied to handwritten zip code recognition*; the arithmetic of sizes as
in Dumoulin & Visin (2016), *A guide to convolution arithmetic for deep learning*, arXiv 1603.07285, eq. 6.
"""

from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from modules.bricks.activation import activation_layer, initialise
from modules.bricks.normalisation import normalisation_layer


class ConvolutionLayer(nn.Module):
    """Square filters over an image, their answers normalised if wanted, then a nonlinearity.

    Args:
        in_channels: channels of the input.
        num_filters: filters, hence channels of the output.
        kernel_size: side of each filter, in pixels.
        stride: pixels that a filter moves at a time.
        padding: rows and columns of zeros put around the image; `same`: as many as let ceil(size / stride)
            windows fit, an odd one below and to the right, as in TensorFlow.
        groups: parts into which the channels are cut, each with filters of its own; as many as channels makes
            the convolution depthwise.
        norm: name of the normalisation (see `modules.bricks.normalisation`), which brings the bias.
        activation: name of the nonlinearity (see `modules.bricks.activation`).
        pre_activation: whether normalisation and nonlinearity come before the filters, not after.
        padding_mode: what `padding`, if it is a number, puts around the image: `zeros`, or `reflect`, the
            image in a mirror, which shows the filters no edge that is not there.

    Raises:
        ValueError: if `norm` or `activation` is unknown, or `groups` does not divide the channels.
    """

    def __init__(
        self,
        in_channels: int,
        num_filters: int,
        kernel_size: int,
        stride: int = 1,
        padding: int | Literal["same"] = 0,
        groups: int = 1,
        norm: str = "none",
        activation: str = "identity",
        pre_activation: bool = False,
        padding_mode: Literal["zeros", "reflect"] = "zeros",
    ) -> None:
        super().__init__()
        self.pads_to_same = padding == "same"
        self.convolution = nn.Conv2d(
            in_channels,
            num_filters,
            kernel_size,
            stride,
            0 if padding == "same" else padding,
            groups=groups,
            bias=norm == "none",
            padding_mode=padding_mode,
        )
        self.pre_activation = pre_activation
        self.normalisation = normalisation_layer(norm, in_channels if pre_activation else num_filters)
        self.activation = activation_layer(activation)
        initialise(self.convolution, activation)

    def forward(
        self, maps: Float[Tensor, "batch in_channels height width"]
    ) -> Float[Tensor, "batch num_filters out_height out_width"]:
        if self.pre_activation:
            maps = self.activation(self.normalisation(maps))
        if self.pads_to_same:
            (kernel_size, _), (stride, _) = self.convolution.kernel_size, self.convolution.stride
            height, width = (same_padding(size, kernel_size, stride) for size in maps.shape[-2:])
            maps = functional.pad(maps, (*width, *height))
        maps = self.convolution(maps)
        return maps if self.pre_activation else self.activation(self.normalisation(maps))


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


def same_padding(size_px: int, kernel_size: int, stride: int) -> tuple[int, int]:
    """Zeros before and after a side so that ceil(size / stride) windows fit it; an odd one comes after."""
    total = max((-(-size_px // stride) - 1) * stride + kernel_size - size_px, 0)
    return total // 2, total - total // 2
