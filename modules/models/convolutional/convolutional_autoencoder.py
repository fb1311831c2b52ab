"""The convolutional autoencoder: strided convolutions down to a code, deconvolutions up from it.

Masci, Meier, Ciresan & Schmidhuber (2011), *Stacked convolutional auto-encoders for hierarchical feature
extraction*, ICANN. Deviates: strides instead of pooling (Springenberg et al. 2014, arXiv 1412.6806, section
2), dense layers on each side of the code, weights of the decoder of its own, trained as a whole.
"""

from collections.abc import Sequence
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from modules.bricks.convolution import ConvolutionLayer, convolved_size
from modules.bricks.deconvolution import DeconvolutionLayer, lost_size
from modules.bricks.dense import dense_layers

STRIDE = 2


class ConvolutionalAutoencoder(nn.Module):
    """A convolution of stride 2 for each entry of `num_filters`, dense layers, and the mirror of it all.

    Args:
        input_shape: (channels, height, width) of an image; odd sizes come back odd.
        code_size: numbers in a code.
        num_filters: filters of each convolution, from the image to the code.
        kernel_size: side of every filter, in pixels; a multiple of 2 decodes without checkerboards.
        hidden_sizes: neurons in each dense layer between the convolutions and the code.
        activation: nonlinearity of the hidden layers (see `modules.bricks.activation`); code and output are
            linear.

    Raises:
        ValueError: if the code or a hidden layer has no neuron, there is no convolution, or a filter does
            not fit the maps that are left for it.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        code_size: int = 10,
        num_filters: Sequence[int] = (16, 32),
        kernel_size: int = 4,
        hidden_sizes: Sequence[int] = (),
        activation: str = "relu",
    ) -> None:
        super().__init__()
        if code_size < 1 or min(hidden_sizes, default=1) < 1:
            raise ValueError(f"code_size={code_size}, hidden_sizes={list(hidden_sizes)}: a size is below 1")
        if not num_filters:
            raise ValueError("num_filters is empty: without a convolution it is the dense autoencoder")
        self.code_size = code_size
        channels, height, width = input_shape
        window = (kernel_size, STRIDE, (kernel_size - 1) // 2)  # with its stride and padding
        down: list[nn.Module] = []
        up: list[nn.Module] = []
        for number, (outer, inner) in enumerate(pairwise([channels, *num_filters])):
            lost = lost_size(height, *window), lost_size(width, *window)
            last = "identity" if number == 0 else activation
            down.append(ConvolutionLayer(outer, inner, *window, activation=activation))
            up.append(DeconvolutionLayer(inner, outer, *window, output_padding=lost, activation=last))
            height, width = convolved_size(height, *window), convolved_size(width, *window)
        maps = ([channels, *num_filters][-1], height, width)
        sizes = [maps[0] * height * width, *hidden_sizes, code_size]
        self.encoder = nn.Sequential(*down, nn.Flatten(), *dense_layers(sizes, activation, "identity"))
        self.decoder = nn.Sequential(
            *dense_layers(sizes[::-1], activation, activation), nn.Unflatten(1, maps), *up[::-1]
        )

    def encode(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch code_size"]:
        """The codes of images in 0..1: any real numbers."""
        return self.encoder(images)

    def decode(self, codes: Float[Tensor, "batch code_size"]) -> Float[Tensor, "batch channels height width"]:
        """Pixels decoded from codes, before the nonlinearity of the pixels: the task says what they mean."""
        return self.decoder(codes)

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """The images reconstructed from their codes, as `decode` gives them."""
        return self.decode(self.encode(images))
