"""A multilayer perceptron of the rows of a table, whose numbers are standardised first.

Rumelhart, Hinton & Williams (1986), *Learning representations by back-propagating errors*, Nature 323; see
`modules.models.feedforward.perceptron`.
"""

from collections.abc import Sequence
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from modules.bricks.dense import DenseLayer
from modules.bricks.field_standardisation import FieldStandardisation


class TablePerceptron(nn.Module):
    """Standardises a row, then hidden layers of `hidden_sizes` neurons and one linear neuron for each class.

    Args:
        field: of the dataset that the rows are.
        input_shape: (features,) of a row.
        num_classes: number of outputs.
        hidden_sizes: neurons in each hidden layer; none makes it a single layer.
        activation: nonlinearity of the hidden layers (see `modules.bricks.activation`).
        dropout: share of each hidden layer's outputs set to zero during training.
    """

    def __init__(
        self,
        field: str,
        input_shape: Sequence[int],
        num_classes: int,
        hidden_sizes: Sequence[int] = (256, 128),
        activation: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        (num_features,) = input_shape
        sizes = [num_features, *hidden_sizes]
        self.standardise = FieldStandardisation(field, num_features)
        self.hidden = nn.Sequential(
            *(DenseLayer(inputs, outputs, activation, dropout) for inputs, outputs in pairwise(sizes))
        )
        self.output = DenseLayer(sizes[-1], num_classes)

    def forward(self, rows: Float[Tensor, "batch features"]) -> Float[Tensor, "batch num_classes"]:
        """Logits, one for each class, of rows as they stand in the table."""
        return self.output(self.hidden(self.standardise(rows)))
