"""The multilayer perceptron: several hidden layers of neurons between input and classes.

Rumelhart, Hinton & Williams (1986), *Learning representations by back-propagating errors*, Nature 323.
Deviates: any activation, dropout after each hidden layer, softmax instead of squared error.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import prod

from jaxtyping import Float
from torch import Tensor, nn

from modules.bricks.dense import DenseLayer


class Perceptron(nn.Module):
    """Hidden layers of `hidden_sizes` neurons, then one linear neuron for each class.

    Args:
        input_shape: (channels, height, width) of an image.
        num_classes: number of outputs.
        hidden_sizes: neurons in each hidden layer; none makes it a single layer.
        activation: nonlinearity of the hidden layers (see `modules.bricks.activation`).
        dropout: share of each hidden layer's outputs set to zero during training.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        num_classes: int,
        hidden_sizes: Sequence[int] = (256, 128),
        activation: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        sizes = [prod(input_shape), *hidden_sizes]
        self.hidden = nn.Sequential(
            *(DenseLayer(inputs, outputs, activation, dropout) for inputs, outputs in pairwise(sizes))
        )
        self.output = DenseLayer(sizes[-1], num_classes)

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch num_classes"]:
        """Logits, one for each class, of images in 0..1."""
        return self.output(self.hidden(images.flatten(1)))
