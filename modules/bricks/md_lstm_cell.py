"""The multi-dimensional LSTM cell: as many forget gates as axes, each for the neighbour before it along one.

    i, o, f_d = sigmoid(W x + sum_e U_e h_e + b), each its own;  g = tanh(W_g x + sum_e U_ge h_e + b_g)
    c = i g + sum_d f_d c_d;  h = o tanh(c)

where h_d and c_d are the states of the neighbour before the cell along axis d. Graves, Fernandez &
Schmidhuber (2007), *Multi-dimensional recurrent neural networks*, arXiv 0705.2011, section 3. Deviates: no
peephole connections. With one axis it is `lstm_cell`.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

State = tuple[Float[Tensor, "batch hidden"], Float[Tensor, "batch hidden"]]
"""h and c."""


class MDLSTMCell(nn.Module):
    """One cell of a grid.

    Args:
        num_axes: of the grid.
        input_size: of a cell's input.
        hidden_size: of h and of c.
    """

    def __init__(self, num_axes: int, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.num_axes, self.input_size, self.hidden_size = num_axes, input_size, hidden_size
        # Columns: o, f of each axis, i, g.
        width = (num_axes + 3) * hidden_size
        self.weight_input = nn.Parameter(torch.empty(input_size, width))
        self.weight_hidden = nn.Parameter(torch.empty(num_axes, hidden_size, width))
        self.bias = nn.Parameter(torch.zeros(width))
        for gate in range(num_axes + 3):
            columns = slice(gate * hidden_size, (gate + 1) * hidden_size)
            nn.init.xavier_uniform_(self.weight_input.data[:, columns])
            for axis in range(num_axes):
                nn.init.orthogonal_(self.weight_hidden.data[axis, :, columns], gain=1 / num_axes)
        if num_axes == 1:  # of several axes the forget gates add up
            nn.init.ones_(self.bias.data[hidden_size : 2 * hidden_size])

    def forward(self, inputs: Float[Tensor, "batch inputs"], before: Sequence[State]) -> State:
        """The state of a cell.

        Args:
            inputs: of the cell.
            before: the states of its neighbours, one along each axis.
        """
        gates = inputs @ self.weight_input + self.bias
        for (hidden, _), weight in zip(before, self.weight_hidden, strict=True):
            gates = gates + hidden @ weight
        read, *keep, write, candidate = gates.chunk(self.num_axes + 3, dim=1)
        cell = write.sigmoid() * candidate.tanh()
        for (_, before_it), gate in zip(before, keep, strict=True):
            cell = cell + gate.sigmoid() * before_it
        return read.sigmoid() * cell.tanh(), cell
