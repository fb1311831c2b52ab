"""The convolutional LSTM cell: an LSTM whose input and state are maps, and whose products are convolutions.

    i, f, o = sigmoid(W * x_t + U * h_{t-1} + b), each its own;  g = tanh(W_g * x_t + U_g * h_{t-1} + b_g)
    c_t = f c_{t-1} + i g;  h_t = o tanh(c_t)

Shi et al. (2015), *Convolutional LSTM network*, arXiv 1506.04214, section 3.1; Stollenga, Byeon, Liwicki &
Schmidhuber (2015), *Parallel multi-dimensional LSTM*, arXiv 1506.07452, section 3 (C-LSTM). Deviates: no
peephole connections, as in the latter. The forget gate's bias begins at 1.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

State = tuple[Float[Tensor, "batch hidden height width"], Float[Tensor, "batch hidden height width"]]
"""h and c."""


class ConvLSTMCell(nn.Module):
    """One step of a convolutional LSTM.

    Args:
        in_channels: of a step's input.
        hidden_channels: of h and of c.
        kernel_size: side of the filters, an odd number; maps keep their size.

    Raises:
        ValueError: if the side of the filters is even.
    """

    def __init__(self, in_channels: int, hidden_channels: int, kernel_size: int = 7) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size={kernel_size}: filters of an even side would shift the maps")
        self.hidden_channels, self.padding = hidden_channels, kernel_size // 2
        # Filters: i, f, g, o.
        width = 4 * hidden_channels
        self.weight_input = nn.Parameter(torch.empty(width, in_channels, kernel_size, kernel_size))
        self.weight_hidden = nn.Parameter(torch.empty(width, hidden_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(width))
        for weight in (self.weight_input, self.weight_hidden):
            for gate in weight.data.split(hidden_channels):
                nn.init.xavier_uniform_(gate)
        nn.init.ones_(self.bias.data[hidden_channels : 2 * hidden_channels])

    def forward(self, inputs: Float[Tensor, "batch channels height width"], state: State) -> State:
        """The state after one step, from the one before."""
        hidden, cell = state
        gates = functional.conv2d(inputs, self.weight_input, self.bias, padding=self.padding)
        return new_state(gates + functional.conv2d(hidden, self.weight_hidden, padding=self.padding), cell)


def new_state(
    gates: Float[Tensor, "batch gates height width"], cell: Float[Tensor, "batch hidden height width"]
) -> State:
    """h and c, from what the convolutions give for i, f, g and o and from c before."""
    write, keep, candidate, read = gates.chunk(4, dim=1)
    cell = torch.addcmul(keep.sigmoid() * cell, write.sigmoid(), candidate.tanh())
    return read.sigmoid() * cell.tanh(), cell
