"""The simple recurrent cell: h_t = tanh(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh).

Elman (1990), *Finding structure in time*, Cognitive Science 14. Deviates: tanh, where Elman has the
logistic function; two biases, of which one would do, so that weights can be exchanged with torch's own
layer.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from modules.bricks.recurrent_weights import initialise_recurrent


class ElmanCell(nn.Module):
    """One step of a simple recurrent network.

    Args:
        input_size: of a step's input.
        hidden_size: of the state h.
    """

    num_states = 1

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.weight_ih = nn.Parameter(torch.empty(hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(hidden_size, hidden_size))
        self.bias_ih = nn.Parameter(torch.empty(hidden_size))
        self.bias_hh = nn.Parameter(torch.empty(hidden_size))
        initialise_recurrent(self)

    def forward(
        self, inputs: Float[Tensor, "batch inputs"], state: tuple[Float[Tensor, "batch hidden"]]
    ) -> tuple[Float[Tensor, "batch hidden"]]:
        """The state after one step, from the one before."""
        (hidden,) = state
        new = inputs @ self.weight_ih.T + self.bias_ih + hidden @ self.weight_hh.T + self.bias_hh
        return (new.tanh(),)

    def open_gates(
        self, inputs: Float[Tensor, "batch inputs"], state: tuple[Float[Tensor, "batch hidden"]]
    ) -> dict[str, Float[Tensor, "batch hidden"]]:
        """None: it has no gates."""
        return {}

    def over(
        self, inputs: Float[Tensor, "batch time inputs"], state: tuple[Float[Tensor, "batch hidden"]]
    ) -> tuple[Float[Tensor, "batch time hidden"], tuple[Float[Tensor, "batch hidden"]]]:
        """All steps of a sequence, by torch's own kernel: h of each, and the state after the last."""
        weights = (self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        outputs, last = torch.rnn_tanh(
            inputs, state[0][None], weights, True, 1, 0.0, self.training, False, True
        )
        return outputs, (last[0],)
