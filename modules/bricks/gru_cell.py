"""The gated recurrent unit: a state h that is partly replaced at each step.

    r, z = sigmoid(W x_t + U h_{t-1} + b), each its own;  n = tanh(W_n x_t + b_n + r (U_n h_{t-1} + c_n))
    h_t = (1 - z) n + z h_{t-1}

Cho et al. (2014), arXiv 1406.1078, equations 5-8. Deviates, as torch and cuDNN do: r gates U_n h, where the
paper has U_n (r h).
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from modules.bricks.recurrent_weights import initialise_recurrent


class GRUCell(nn.Module):
    """One step of a gated recurrent unit.

    Args:
        input_size: of a step's input.
        hidden_size: of the state h.
    """

    num_states = 1

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        # Rows: r, z, n.
        self.weight_ih = nn.Parameter(torch.empty(3 * hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(3 * hidden_size, hidden_size))
        self.bias_ih = nn.Parameter(torch.empty(3 * hidden_size))
        self.bias_hh = nn.Parameter(torch.empty(3 * hidden_size))
        initialise_recurrent(self)

    def forward(
        self, inputs: Float[Tensor, "batch inputs"], state: tuple[Float[Tensor, "batch hidden"]]
    ) -> tuple[Float[Tensor, "batch hidden"]]:
        """The state after one step, from the one before."""
        (hidden,) = state
        reset, update, from_input, from_hidden = self._opened(inputs, hidden)
        candidate = (from_input + reset * from_hidden).tanh()
        return ((1 - update) * candidate + update * hidden,)

    def open_gates(
        self, inputs: Float[Tensor, "batch inputs"], state: tuple[Float[Tensor, "batch hidden"]]
    ) -> dict[str, Float[Tensor, "batch hidden"]]:
        """How far each gate is open in a step, 0..1; the update gate at 1 keeps all."""
        reset, update, _, _ = self._opened(inputs, state[0])
        return {"reset": reset, "update": update}

    def _opened(self, inputs: Tensor, hidden: Tensor) -> tuple[Float[Tensor, "batch hidden"], ...]:
        """r, z, and what inputs and state add to n."""
        from_input = (inputs @ self.weight_ih.T + self.bias_ih).chunk(3, dim=1)
        from_hidden = (hidden @ self.weight_hh.T + self.bias_hh).chunk(3, dim=1)
        reset, update = (
            (one + other).sigmoid() for one, other in zip(from_input[:2], from_hidden[:2], strict=True)
        )
        return reset, update, from_input[2], from_hidden[2]

    def over(
        self, inputs: Float[Tensor, "batch time inputs"], state: tuple[Float[Tensor, "batch hidden"]]
    ) -> tuple[Float[Tensor, "batch time hidden"], tuple[Float[Tensor, "batch hidden"]]]:
        """All steps of a sequence, by torch's own kernel: h of each, and the state after the last."""
        weights = (self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        outputs, last = torch.gru(inputs, state[0][None], weights, True, 1, 0.0, self.training, False, True)
        return outputs, (last[0],)
