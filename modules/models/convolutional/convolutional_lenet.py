"""LeNet for images of any size: its dense layers as convolutions, so that each class gets a map.

LeCun et al. (1998), *Gradient-based learning applied to document recognition*, section VII.A (space
displacement networks); Long, Shelhamer & Darrell (2015), arXiv 1411.4038, section 3.1, figure 2. A dense
layer over a window is a filter as large as the window: `convolutional_weights` gives a trained LeNet's
weights that shape, and on an image of the window's size both nets say the same.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from modules.bricks.convolution import ConvolutionLayer, convolved_size
from modules.bricks.pooling import PoolingLayer


class ConvolutionalLeNet(nn.Module):
    """What LeNet says of each window of an image.

    Args:
        window_px: side of the images that the dense net takes.
        in_channels: of an image.
        num_classes: maps that it gives.
        num_filters: filters of each convolution.
        kernel_size: side of every filter, in pixels.
        hidden_sizes: of the dense layers before the output.
        activation: nonlinearity after each convolution and dense layer (see `modules.bricks.activation`).
        pooling: `max` or `average`, over windows of 2x2.
        padding_px: zeros put around an image, so that windows reach over its border.

    Attributes:
        stride_px: from one window to the next.
        first_px: where in an image the middle of the first window lies, along either axis.

    Raises:
        ValueError: if a filter does not fit the maps that are left where it is applied.
    """

    def __init__(
        self,
        window_px: int,
        in_channels: int,
        num_classes: int,
        num_filters: Sequence[int] = (6, 16),
        kernel_size: int = 5,
        hidden_sizes: Sequence[int] = (120, 84),
        activation: str = "tanh",
        pooling: str = "max",
        padding_px: int = 0,
    ) -> None:
        super().__init__()
        stages: list[nn.Module] = []
        side = window_px
        for channels, filters in pairwise([in_channels, *num_filters]):
            stages.append(ConvolutionLayer(channels, filters, kernel_size, activation=activation))
            stages.append(PoolingLayer(pooling, window_px=2))
            side = convolved_size(convolved_size(side, kernel_size), 2, stride=2)
        self.window_px = window_px
        self.padding_px = padding_px
        self.stride_px = 2 ** len(num_filters)
        self.first_px = window_px / 2 - padding_px
        self.features = nn.Sequential(*stages)
        sides = [side, *[1] * len(hidden_sizes)]
        widths = [[in_channels, *num_filters][-1], *hidden_sizes]
        self.hidden = nn.Sequential(
            *(
                ConvolutionLayer(channels, filters, kernel, activation=activation)
                for (channels, filters), kernel in zip(pairwise(widths), sides, strict=False)
            )
        )
        self.output = ConvolutionLayer(widths[-1], num_classes, sides[len(hidden_sizes)])

    def forward(
        self, images: Float[Tensor, "batch in_channels height width"]
    ) -> Float[Tensor, "batch num_classes out_height out_width"]:
        """Logits, one for each class and window, of images in 0..1; windows lie `stride_px` apart.

        Raises:
            ValueError: an image is smaller than a window, even with what is put around it.
        """
        if min(images.shape[2:]) + 2 * self.padding_px < self.window_px:
            raise ValueError(
                f"an image of {images.shape[3]}x{images.shape[2]} pixels is smaller than the window of "
                f"{self.window_px}"
            )
        padded = functional.pad(images, (self.padding_px,) * 4)
        return self.output(self.hidden(self.features(padded)))


def convolutional_weights(dense: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a `LeNet` by the names and in the shapes of `ConvolutionalLeNet`.

    Args:
        dense: state of the model, or of a task around it.

    Raises:
        ValueError: it is no state of a LeNet that takes square images.
    """
    last = [name for name in dense if name.endswith(".convolution.weight")]
    if not last:
        raise ValueError("there is no convolution: these are no weights of a LeNet")
    channels = dense[last[-1]].shape[0]
    found: dict[str, Tensor] = {}
    is_first = True
    for name, weight in dense.items():
        if ".linear." not in name:
            found[name] = weight
            continue
        renamed = name.replace(".linear.", ".convolution.")
        if weight.ndim != 2:
            found[renamed] = weight
            continue
        side = math.isqrt(weight.shape[1] // channels) if is_first else 1
        if is_first and side * side * channels != weight.shape[1]:
            raise ValueError(f"{name} takes {weight.shape[1]} numbers, no square of {channels} channels")
        found[renamed] = weight.view(weight.shape[0], -1, side, side)
        is_first = False
    return found
