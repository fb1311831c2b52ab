"""Variants of the LSTM: each is the equations of the paper without one part."""

import pytest
import torch
from torch import Tensor, nn

from modules.bricks.lstm_cell import LSTMCell
from modules.bricks.lstm_variant_cell import LSTMVariantCell
from modules.bricks.recurrent_layer import CELLS, RecurrentLayer

VARIANTS = [name for name in CELLS if name.startswith("lstm_")]


def as_in_the_paper(name: str, cell: LSTMVariantCell, x: Tensor, state: tuple[Tensor, ...]) -> Tensor:
    """y of one step by section 2 and 3.3, every gate on its own."""
    y, c, *gates = state
    rows = {"z": 0}
    rows |= {gate: 1 + number for number, gate in enumerate(cell.gates)}

    def linear(gate: str) -> Tensor:
        part = slice(rows[gate] * 4, (rows[gate] + 1) * 4)
        return cell.weight_ih[part] @ x + cell.weight_hh[part] @ y + cell.bias[part]

    def gate(which: str, look: Tensor) -> Tensor:
        if which not in rows:
            return torch.ones(4, dtype=torch.float64)
        number = rows[which] - 1
        total = linear(which) + (cell.peepholes[number] * look if cell.peepholes is not None else 0)
        if cell.weight_gates is not None:
            total = total + cell.weight_gates[4 * number : 4 * number + 4] @ torch.cat(gates)
        return torch.sigmoid(total)

    z = linear("z") if name == "lstm_no_input_activation" else torch.tanh(linear("z"))
    i = gate("input", c)
    f = 1 - i if name == "lstm_coupled_gates" else gate("forget", c)
    c = z * i + c * f
    return (c if name == "lstm_no_output_activation" else torch.tanh(c)) * gate("output", c)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_step_is_the_papers(name: str) -> None:
    torch.manual_seed(0)
    layer = RecurrentLayer(name, 3, 4).double()  # pyright: ignore[reportArgumentType]
    for weight in layer.parameters():
        nn.init.normal_(weight)
    inputs = torch.randn(2, 3, dtype=torch.float64)
    state = tuple(torch.rand(2, 4, dtype=torch.float64) for _ in range(layer.cell.num_states))
    found = layer.cell(inputs, state)
    for row in range(2):
        expected = as_in_the_paper(name, layer.cell, inputs[row], tuple(one[row] for one in state))
        torch.testing.assert_close(found[0][row], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_sequence_is_its_steps_and_every_weight_learns(name: str) -> None:
    torch.manual_seed(0)
    layer = RecurrentLayer(name, 3, 4).double()  # pyright: ignore[reportArgumentType]
    inputs = torch.randn(2, 5, 3, dtype=torch.float64)
    outputs, last = layer(inputs)
    state = layer.initial_state(inputs)
    for step in range(5):
        state = layer.cell(inputs[:, step], state)
        torch.testing.assert_close(outputs[:, step], state[0])
    assert len(last) == len(state) == layer.cell.num_states
    outputs.square().sum().backward()
    for weight, parameter in layer.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, weight


def test_without_peepholes_it_is_the_lstm() -> None:
    torch.manual_seed(0)
    cell, lstm = LSTMVariantCell(3, 4, peepholes=False).double(), LSTMCell(3, 4).double()
    with torch.no_grad():
        for name in ("weight_ih", "weight_hh"):
            z, i, f, o = getattr(cell, name).split(4)
            getattr(lstm, name).copy_(torch.cat([i, f, z, o]))
    inputs = torch.randn(2, 6, 3, dtype=torch.float64)
    zeros = (inputs.new_zeros(2, 4), inputs.new_zeros(2, 4))
    torch.testing.assert_close(cell.over(inputs, zeros)[0], lstm.over(inputs, zeros)[0])
