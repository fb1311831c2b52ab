"""Long short-term memory: a cell c that gates write to, keep and read.

    i, f, o = sigmoid(W x_t + U h_{t-1} + b), each its own;  g = tanh(W_g x_t + U_g h_{t-1} + b_g)
    c_t = f c_{t-1} + i g;  h_t = o tanh(c_t)

Hochreiter & Schmidhuber (1997), Neural Computation 9; the forget gate f: Gers, Schmidhuber & Cummins (2000),
*Learning to forget*, Neural Computation 12. Deviates: no peephole connections; two biases, of which one would
do, so that weights can be exchanged with torch's own layer. The forget gate's bias begins at 1 (Jozefowicz,
Zaremba & Sutskever 2015, section 2.2).
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from modules.bricks.recurrent_weights import initialise_recurrent

State = tuple[Float[Tensor, "batch hidden"], Float[Tensor, "batch hidden"]]
"""h and c."""


class LSTMCell(nn.Module):
    """One step of an LSTM.

    Args:
        input_size: of a step's input.
        hidden_size: of h and of c.
    """

    num_states = 2

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        # Rows: i, f, g, o.
        self.weight_ih = nn.Parameter(torch.empty(4 * hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(4 * hidden_size, hidden_size))
        self.bias_ih = nn.Parameter(torch.empty(4 * hidden_size))
        self.bias_hh = nn.Parameter(torch.empty(4 * hidden_size))
        initialise_recurrent(self)
        with torch.no_grad():
            self.bias_ih[hidden_size : 2 * hidden_size] = 1.0

    def forward(self, inputs: Float[Tensor, "batch inputs"], state: State) -> State:
        """The state after one step, from the one before."""
        _, cell = state
        write, keep, candidate, read = self._sums(inputs, state)
        cell = keep.sigmoid() * cell + write.sigmoid() * candidate.tanh()
        return read.sigmoid() * cell.tanh(), cell

    def open_gates(
        self, inputs: Float[Tensor, "batch inputs"], state: State
    ) -> dict[str, Float[Tensor, "batch hidden"]]:
        """How far each gate is open in a step, 0..1."""
        write, keep, _, read = self._sums(inputs, state)
        return {"input": write.sigmoid(), "forget": keep.sigmoid(), "output": read.sigmoid()}

    def _sums(self, inputs: Tensor, state: State) -> tuple[Float[Tensor, "batch hidden"], ...]:
        """Of i, f, g and o, before their nonlinearities."""
        sums = inputs @ self.weight_ih.T + self.bias_ih + state[0] @ self.weight_hh.T + self.bias_hh
        return sums.chunk(4, dim=1)

    def over(
        self, inputs: Float[Tensor, "batch time inputs"], state: State
    ) -> tuple[Float[Tensor, "batch time hidden"], State]:
        """All steps of a sequence, by torch's own kernel: h of each, and the state after the last."""
        hidden, cell = state
        weights = (self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        outputs, last_hidden, last_cell = torch.lstm(
            inputs, (hidden[None], cell[None]), weights, True, 1, 0.0, self.training, False, True
        )
        return outputs, (last_hidden[0], last_cell[0])
