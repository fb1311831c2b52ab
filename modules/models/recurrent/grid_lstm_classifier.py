"""A one-dimensional Grid LSTM: a deep net whose layers are joined by an LSTM along depth.

Kalchbrenner, Danihelka & Graves (2015), *Grid long short-term memory*, arXiv 1507.01526, sections 3.4 and
4.1: the whole input is projected into the h and m that enter at the bottom; the classes are read from the
h at the top. Deviates: the projection's weights begin as -1 or 1, from which the parity of 24 bits is
learned in a few thousand steps, and from small numbers not in five thousand.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from modules.bricks.grid_lstm_cell import GridLSTMCell


class GridLSTMClassifier(nn.Module):
    """A projection, cells along depth, one logit for each class.

    Args:
        num_inputs: numbers of an input.
        num_classes: number of outputs.
        hidden_size: of h and of m.
        depth: cells above each other.
        tied: whether all of them share one set of weights.
    """

    def __init__(
        self, num_inputs: int, num_classes: int, hidden_size: int = 128, depth: int = 6, tied: bool = True
    ) -> None:
        super().__init__()
        self.projection = nn.Linear(num_inputs, 2 * hidden_size)
        with torch.no_grad():
            self.projection.weight.copy_(torch.randint_like(self.projection.weight, 2) * 2 - 1)
            self.projection.bias.uniform_(-(num_inputs**0.5), num_inputs**0.5)
        self.depth = depth
        self.cells = nn.ModuleList(
            GridLSTMCell(hidden_size, num_dimensions=1) for _ in range(1 if tied else depth)
        )
        self.output = nn.Linear(hidden_size, num_classes)

    def forward(self, inputs: Float[Tensor, "batch inputs"]) -> Float[Tensor, "batch num_classes"]:
        """Logits, one for each class, of inputs in 0..1, which count as -1..1."""
        hidden, memory = self.projection(2 * inputs - 1).chunk(2, dim=1)
        along_depth = [hidden], [memory]
        for level in range(self.depth):
            along_depth = self.cells[level % len(self.cells)](*along_depth)
        return self.output(along_depth[0][0])
