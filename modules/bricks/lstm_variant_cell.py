"""The LSTM with peepholes, and what is left of it without one of its parts.

    z = g(W_z x + R_z y' + b_z)
    i, f = sigmoid(W x + R y' + p c' + b), each its own;  c = z i + c' f
    o = sigmoid(W_o x + R_o y' + p_o c + b_o);  y = h(c) o

with y' and c' of the step before, g and h the hyperbolic tangent. Greff, Srivastava, Koutnik, Steunebrink &
Schmidhuber (2017), *LSTM: A search space odyssey*, IEEE Transactions on Neural Networks 28, arXiv 1503.04069,
section 2 and, for the variants, section 3.3. `lstm_cell` is the one without peepholes, by a faster kernel.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from modules.bricks.recurrent_weights import initialise_recurrent


class LSTMVariantCell(nn.Module):
    """One step of an LSTM with peepholes, or of a variant.

    Args:
        input_size: of a step's input.
        hidden_size: of y and of c.
        input_gate: if not, i = 1 (the paper's NIG).
        forget_gate: if not, f = 1 (NFG).
        output_gate: if not, o = 1 (NOG).
        coupled: f = 1 - i (CIFG); the cell has no forget gate of its own then.
        input_activation: if not, g(x) = x (NIAF).
        output_activation: if not, h(x) = x (NOAF).
        peepholes: if not, p = 0 (NP).
        gate_recurrence: each gate sees all gates of the step before (FGR).
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        input_gate: bool = True,
        forget_gate: bool = True,
        output_gate: bool = True,
        coupled: bool = False,
        input_activation: bool = True,
        output_activation: bool = True,
        peepholes: bool = True,
        gate_recurrence: bool = False,
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        there = {"input": input_gate, "forget": forget_gate and not coupled, "output": output_gate}
        self.gates = [name for name, is_there in there.items() if is_there]
        self.coupled, self.input_activation, self.output_activation = (
            coupled,
            input_activation,
            output_activation,
        )
        self.num_states = 2 + len(self.gates) if gate_recurrence else 2
        # Rows: z, then the gates in the order i, f, o.
        rows = (1 + len(self.gates)) * hidden_size
        self.weight_ih = nn.Parameter(torch.empty(rows, input_size))
        self.weight_hh = nn.Parameter(torch.empty(rows, hidden_size))
        self.bias = nn.Parameter(torch.empty(rows))
        initialise_recurrent(self)
        if "forget" in self.gates:
            begin = (1 + self.gates.index("forget")) * hidden_size
            nn.init.ones_(self.bias.data[begin : begin + hidden_size])
        self.peepholes = nn.Parameter(torch.zeros(len(self.gates), hidden_size)) if peepholes else None
        self.weight_gates = None
        if gate_recurrence:
            size = len(self.gates) * hidden_size
            self.weight_gates = nn.Parameter(torch.empty(size, size))
            nn.init.xavier_uniform_(self.weight_gates)

    def forward(
        self, inputs: Float[Tensor, "batch inputs"], state: tuple[Float[Tensor, "batch hidden"], ...]
    ) -> tuple[Float[Tensor, "batch hidden"], ...]:
        """The state after one step, from the one before: y, c, and of `gate_recurrence` the gates."""
        return self._step(inputs @ self.weight_ih.T + self.bias, state)[0]

    def open_gates(
        self, inputs: Float[Tensor, "batch inputs"], state: tuple[Float[Tensor, "batch hidden"], ...]
    ) -> dict[str, Float[Tensor, "batch hidden"]]:
        """How far each gate that there is is open in a step, 0..1."""
        return self._step(inputs @ self.weight_ih.T + self.bias, state)[1]

    def over(
        self, inputs: Float[Tensor, "batch time inputs"], state: tuple[Float[Tensor, "batch hidden"], ...]
    ) -> tuple[Float[Tensor, "batch time hidden"], tuple[Float[Tensor, "batch hidden"], ...]]:
        """All steps of a sequence, one by one: y of each, and the state after the last."""
        outputs = []
        for from_input in (inputs @ self.weight_ih.T + self.bias).unbind(1):
            state, _ = self._step(from_input, state)
            outputs.append(state[0])
        return torch.stack(outputs, dim=1), state

    def _step(
        self, from_input: Float[Tensor, "batch rows"], state: tuple[Float[Tensor, "batch hidden"], ...]
    ) -> tuple[tuple[Float[Tensor, "batch hidden"], ...], dict[str, Float[Tensor, "batch hidden"]]]:
        """The state after it, and the gates."""
        output, cell, *gates_before = state
        candidate, *sums = (from_input + output @ self.weight_hh.T).split(self.hidden_size, dim=1)
        if self.weight_gates is not None:
            more = torch.cat(gates_before, dim=1) @ self.weight_gates.T
            sums = [one + other for one, other in zip(sums, more.split(self.hidden_size, dim=1), strict=True)]
        gates: dict[str, Tensor] = {}
        for number, name in enumerate(self.gates):
            if name == "output":
                continue  # it looks at the new cell
            gates[name] = self._opened(number, sums, cell)
        new = candidate.tanh() if self.input_activation else candidate
        if "input" in gates:
            new = new * gates["input"]
        if self.coupled:
            cell = new + cell * (1 - gates["input"]) if "input" in gates else new
        else:
            cell = new + (cell * gates["forget"] if "forget" in gates else cell)
        output = cell.tanh() if self.output_activation else cell
        if "output" in self.gates:
            gates["output"] = self._opened(self.gates.index("output"), sums, cell)
            output = output * gates["output"]
        recurrent = self.gates if self.weight_gates is not None else []
        return (output, cell, *(gates[name] for name in recurrent)), gates

    def _opened(self, number: int, sums: list[Tensor], cell: Tensor) -> Float[Tensor, "batch hidden"]:
        if self.peepholes is None:
            return sums[number].sigmoid()
        return torch.addcmul(sums[number], self.peepholes[number], cell).sigmoid()
