"""A layer of neurons, each connected to every input: y = f(W x + b).

Rosenblatt (1958), *The perceptron*; trained by gradient as in Rumelhart, Hinton & Williams (1986), *Learning
representations by back-propagating errors*. Dropout: Srivastava et al. (2014), JMLR 15.
"""

from collections.abc import Sequence
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from modules.bricks.activation import activation_layer, initialise


class DenseLayer(nn.Module):
    """Fully connected neurons, a nonlinearity, and dropout where it is asked for.

    Args:
        in_features: size of the input vector.
        out_features: number of neurons.
        activation: name of the nonlinearity f (see `modules.bricks.activation`).
        dropout: share of the outputs set to zero during training, 0 <= dropout < 1.

    Raises:
        ValueError: if `activation` is unknown or `dropout` is out of range.
    """

    def __init__(
        self, in_features: int, out_features: int, activation: str = "identity", dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)
        self.activation = activation_layer(activation)
        self.dropout = nn.Dropout(dropout)
        initialise(self.linear, activation)

    def forward(self, inputs: Float[Tensor, "*batch in_features"]) -> Float[Tensor, "*batch out_features"]:
        return self.dropout(self.activation(self.linear(inputs)))


def dense_layers(sizes: Sequence[int], activation: str, last_activation: str) -> list[DenseLayer]:
    """Dense layers one after another.

    Args:
        sizes: of the input and of each layer, in order.
        activation: nonlinearity of all layers but the last.
        last_activation: nonlinearity of the last layer.
    """
    *hidden, last = pairwise(sizes)
    return [*(DenseLayer(*pair, activation) for pair in hidden), DenseLayer(*last, last_activation)]
