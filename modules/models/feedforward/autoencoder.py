"""The deep autoencoder: images squeezed through a narrow layer, and reconstructed from what came through.

Rumelhart, Hinton & Williams (1986), *Learning internal representations by error propagation*, for the idea;
Hinton & Salakhutdinov (2006), *Reducing the dimensionality of data with neural networks*, Science 313, for
depth: a linear code between hidden layers, and a decoder that is the encoder in a mirror. Deviates: the
activation of the hidden layers is chosen (there sigmoid), and weights begin at random unless a training
begins from others (there unrolled from restricted Boltzmann machines).
"""

from collections.abc import Sequence
from math import prod

from jaxtyping import Float
from torch import Tensor, nn

from modules.bricks.dense import dense_layers


class Autoencoder(nn.Module):
    """Dense layers down to the code, and the same sizes up again.

    `encoder.<k>` and `decoder.<k>` are dense layers, counted from the input of each; `encoder.<k>` has the
    sizes of `decoder.<n - 1 - k>` the other way round, of n layers each.

    Args:
        input_shape: (channels, height, width) of an image.
        code_size: numbers in a code.
        hidden_sizes: neurons in each hidden layer of the encoder, from the image to the code.
        activation: nonlinearity of the hidden layers (see `modules.bricks.activation`); code and output are
            linear.

    Raises:
        ValueError: if the code or a hidden layer has no neuron.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        code_size: int = 10,
        hidden_sizes: Sequence[int] = (512, 256),
        activation: str = "relu",
    ) -> None:
        super().__init__()
        if code_size < 1 or min(hidden_sizes, default=1) < 1:
            raise ValueError(f"code_size={code_size}, hidden_sizes={list(hidden_sizes)}: a size is below 1")
        self.input_shape = tuple(input_shape)
        self.code_size = code_size
        sizes = [prod(input_shape), *hidden_sizes, code_size]
        self.encoder = nn.Sequential(*dense_layers(sizes, activation, "identity"))
        self.decoder = nn.Sequential(*dense_layers(sizes[::-1], activation, "identity"))

    def encode(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch code_size"]:
        """The codes of images in 0..1: any real numbers."""
        return self.encoder(images.flatten(1))

    def decode(self, codes: Float[Tensor, "batch code_size"]) -> Float[Tensor, "batch channels height width"]:
        """Pixels decoded from codes, before the nonlinearity of the pixels: the task says what they mean."""
        return self.decoder(codes).unflatten(1, self.input_shape)

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """The images reconstructed from their codes, as `decode` gives them."""
        return self.decode(self.encode(images))
