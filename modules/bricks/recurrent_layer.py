"""A recurrent layer: a cell taken over a sequence, step by step; in both directions where it is asked for.

Both directions: Schuster & Paliwal (1997), *Bidirectional recurrent neural networks*, IEEE Transactions on
Signal Processing 45.
"""

from collections.abc import Callable
from functools import partial
from math import ceil
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from modules.bricks.elman_cell import ElmanCell
from modules.bricks.gru_cell import GRUCell
from modules.bricks.lstm_cell import LSTMCell
from modules.bricks.lstm_variant_cell import LSTMVariantCell

CellName = Literal[
    "elman",
    "lstm",
    "gru",
    "lstm_peepholes",
    "lstm_no_input_gate",
    "lstm_no_forget_gate",
    "lstm_no_output_gate",
    "lstm_no_input_activation",
    "lstm_no_output_activation",
    "lstm_coupled_gates",
    "lstm_gate_recurrence",
]
CELLS: dict[str, Callable[[int, int], Any]] = {
    "elman": ElmanCell,
    "lstm": LSTMCell,
    "gru": GRUCell,
    # With peepholes, as the paper's vanilla LSTM, and then without one part or with one more.
    "lstm_peepholes": LSTMVariantCell,
    "lstm_no_input_gate": partial(LSTMVariantCell, input_gate=False),
    "lstm_no_forget_gate": partial(LSTMVariantCell, forget_gate=False),
    "lstm_no_output_gate": partial(LSTMVariantCell, output_gate=False),
    "lstm_no_input_activation": partial(LSTMVariantCell, input_activation=False),
    "lstm_no_output_activation": partial(LSTMVariantCell, output_activation=False),
    "lstm_coupled_gates": partial(LSTMVariantCell, coupled=True),
    "lstm_gate_recurrence": partial(LSTMVariantCell, gate_recurrence=True),
}
"""What a configuration may name, from sizes of input and state to a cell."""
Directions = Literal["forwards", "both"]

_LEAST_STEPS = 32
"""That are computed again together: a kernel of fewer takes longer to start than to run."""


class RecurrentLayer(nn.Module):
    """A cell over a sequence.

    Args:
        cell: a name of `CELLS`: `elman`, `lstm`, `gru` or a variant of the LSTM.
        input_size: of each step's input.
        hidden_size: of the state.
        recompute: keep for the backward pass the state at about sqrt(T) of T steps alone, and compute what
            lies between them again there (Chen, Xu, Zhang & Guestrin 2016, arXiv 1604.06174, section 4.3).
    """

    def __init__(self, cell: CellName, input_size: int, hidden_size: int, recompute: bool = False) -> None:
        super().__init__()
        self.cell = CELLS[cell](input_size, hidden_size)
        self.recompute = recompute

    def initial_state(self, inputs: Float[Tensor, "batch ..."]) -> tuple[Tensor, ...]:
        """A state of zeros for a batch, each tensor [batch, hidden]."""
        zeros = inputs.new_zeros(inputs.shape[0], self.cell.hidden_size)
        return (zeros,) * self.cell.num_states

    def forward(
        self, inputs: Float[Tensor, "batch time inputs"], state: tuple[Tensor, ...] | None = None
    ) -> tuple[Float[Tensor, "batch time hidden"], tuple[Tensor, ...]]:
        """The hidden state of every step, and the state after the last.

        Args:
            inputs: of every step.
            state: before the first, each tensor [batch, hidden]; None = zeros.
        """
        after: tuple[Tensor, ...] = state or self.initial_state(inputs)
        if not (self.recompute and torch.is_grad_enabled()):
            return self.cell.over(inputs, after)
        outputs = []
        for part in inputs.split(max(ceil(inputs.shape[1] ** 0.5), _LEAST_STEPS), dim=1):
            result: Any = checkpoint(
                self.cell.over, part, after, use_reentrant=False, preserve_rng_state=False
            )
            found, after = result
            outputs.append(found)
        return torch.cat(outputs, dim=1), after

    def open_gates(
        self, inputs: Float[Tensor, "batch time inputs"], state: tuple[Tensor, ...] | None = None
    ) -> dict[str, Float[Tensor, "batch time hidden"]]:
        """How far each gate of the cell is open at every step, 0..1, by its name; see `forward`."""
        after: tuple[Tensor, ...] = state or self.initial_state(inputs)
        steps: list[dict[str, Tensor]] = []
        for step in inputs.unbind(1):
            steps.append(self.cell.open_gates(step, after))
            after = self.cell(step, after)
        return {name: torch.stack([gates[name] for gates in steps], dim=1) for name in steps[0]}


def recurrent_layers(
    cell: CellName, directions: Directions, input_size: int, hidden_size: int, num_layers: int
) -> tuple[nn.ModuleList, int]:
    """Layers of one direction or both, and the width of what the last one gives.

    Args:
        cell: a name of `CELLS`.
        directions: `both`, or `forwards` alone.
        input_size: of each step's input.
        hidden_size: of the state of each direction of each layer.
        num_layers: how many there are.
    """
    both = directions == "both"
    width = 2 * hidden_size if both else hidden_size
    layer = BidirectionalLayer if both else RecurrentLayer
    sizes = [input_size, *[width] * (num_layers - 1)]
    return nn.ModuleList(layer(cell, size, hidden_size) for size in sizes), width


def through_layers(
    layers: nn.ModuleList,
    features: Float[Tensor, "batch time inputs"],
    length: Int[Tensor, " batch"],
    dropout: nn.Module,
) -> Float[Tensor, "batch time width"]:
    """What the last of `recurrent_layers` gives, with dropout before each; in the padding it means nothing.

    Args:
        layers: see `recurrent_layers`.
        features: of every step, padded at their ends.
        length: steps of each sequence.
        dropout: of each layer's inputs.
    """
    for layer in layers:
        features = dropout(features)
        if isinstance(layer, BidirectionalLayer):
            features = layer(features, length)
        else:
            features, _ = layer(features)
    return features


class BidirectionalLayer(nn.Module):
    """Two cells over a sequence, one from its begin, one from its end; their states side by side.

    Args:
        cell: a name of `CELLS`: `elman`, `lstm`, `gru` or a variant of the LSTM.
        input_size: of each step's input.
        hidden_size: of the state of each direction.
    """

    def __init__(self, cell: CellName, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.forwards = RecurrentLayer(cell, input_size, hidden_size)
        self.backwards = RecurrentLayer(cell, input_size, hidden_size)

    def forward(
        self, inputs: Float[Tensor, "batch time inputs"], length: Int[Tensor, " batch"] | None = None
    ) -> Float[Tensor, "batch time both"]:
        """The states of both directions at every step; what lies in the padding means nothing.

        Args:
            inputs: of every step, padded at their ends.
            length: steps of each sequence; None = all.
        """
        onwards, _ = self.forwards(inputs)
        back, _ = self.backwards(reversed_within(inputs, length))
        return torch.cat([onwards, reversed_within(back, length)], dim=-1)


def last_states(
    states: Float[Tensor, "batch time width"], length: Int[Tensor, " batch"], directions: Directions
) -> Float[Tensor, "batch width"]:
    """What layers say in the end: the state at the last step; of both directions the backward half's at the
    first, where it ends.

    Args:
        states: of every step, as `through_layers` gives them.
        length: steps of each sequence.
        directions: of the layers.
    """
    last = states.gather(1, (length - 1)[:, None, None].expand(-1, 1, states.shape[2]))[:, 0]
    if directions == "forwards":
        return last
    half = states.shape[2] // 2
    return torch.cat([last[:, :half], states[:, 0, half:]], dim=1)


def reversed_within(
    sequences: Float[Tensor, "batch time features"], length: Int[Tensor, " batch"] | None
) -> Float[Tensor, "batch time features"]:
    """Each sequence from its end to its begin; the padding stays where it is."""
    if length is None:
        return sequences.flip(1)
    steps = torch.arange(sequences.shape[1], device=sequences.device)
    places = torch.where(steps < length[:, None], length[:, None] - 1 - steps, steps)
    return sequences.gather(1, places[:, :, None].expand_as(sequences))
