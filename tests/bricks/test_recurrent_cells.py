"""Recurrent cells and layers against torch's own, step by step and over sequences."""

import pytest
import torch
from torch import Tensor, nn

from modules.bricks.recurrent_layer import CELLS, BidirectionalLayer, RecurrentLayer, reversed_within

BATCH, TIME, INPUTS, HIDDEN = 3, 7, 5, 4
CELLS_OF_TORCH = {"elman": nn.RNNCell, "lstm": nn.LSTMCell, "gru": nn.GRUCell}
LAYERS_OF_TORCH = {"elman": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


@pytest.fixture(autouse=True)
def _in_float64():
    torch.manual_seed(0)
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(usual)


def states_of(layer: RecurrentLayer) -> tuple[Tensor, ...]:
    return tuple(torch.randn(BATCH, HIDDEN) for _ in range(layer.cell.num_states))


@pytest.mark.parametrize("name", CELLS_OF_TORCH)
def test_a_cell_is_torchs_with_its_weights(name: str) -> None:
    cell, other = CELLS[name](INPUTS, HIDDEN), CELLS_OF_TORCH[name](INPUTS, HIDDEN)
    cell.load_state_dict(other.state_dict())
    inputs, layer = torch.randn(BATCH, INPUTS), RecurrentLayer(name, INPUTS, HIDDEN)  # pyright: ignore
    state = states_of(layer)
    expected = other(inputs, state if name == "lstm" else state[0])
    for mine, theirs in zip(cell(inputs, state), expected if name == "lstm" else [expected], strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("name", CELLS)
def test_a_layer_is_its_cell_step_by_step_in_value_and_gradient(name: str) -> None:
    layer = RecurrentLayer(name, INPUTS, HIDDEN)  # pyright: ignore[reportArgumentType]
    inputs, state = torch.randn(BATCH, TIME, INPUTS), states_of(layer)
    whole, last = layer(inputs, state)
    (whole.square().sum() + sum(one.sum() for one in last)).backward()
    gradients = {key: weight.grad.clone() for key, weight in layer.named_parameters()}  # pyright: ignore
    layer.zero_grad()
    steps = []
    for step in inputs.unbind(1):
        state = layer.cell(step, state)
        steps.append(state[0])
    torch.testing.assert_close(torch.stack(steps, 1), whole)
    for mine, theirs in zip(state, last, strict=True):
        torch.testing.assert_close(mine, theirs)
    (torch.stack(steps, 1).square().sum() + sum(one.sum() for one in state)).backward()
    for key, weight in layer.named_parameters():
        torch.testing.assert_close(weight.grad, gradients[key])


@pytest.mark.parametrize("name", CELLS)
def test_computed_again_in_the_backward_pass_gradients_are_the_same(name: str) -> None:
    layer = RecurrentLayer(name, INPUTS, HIDDEN)  # pyright: ignore[reportArgumentType]
    inputs, state, found = torch.randn(BATCH, 70, INPUTS), states_of(layer), []
    for layer.recompute in (False, True):
        layer.zero_grad()
        outputs, last = layer(inputs, state)
        (outputs.square().sum() + sum(one.sum() for one in last)).backward()
        found.append([outputs, *last, *(weight.grad for weight in layer.parameters())])
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("name", CELLS)
def test_a_layer_goes_on_from_its_state(name: str) -> None:
    layer = RecurrentLayer(name, INPUTS, HIDDEN)  # pyright: ignore[reportArgumentType]
    inputs = torch.randn(BATCH, TIME, INPUTS)
    whole, last = layer(inputs)
    first, state = layer(inputs[:, :3])
    second, end = layer(inputs[:, 3:], state)
    torch.testing.assert_close(torch.cat([first, second], 1), whole)
    torch.testing.assert_close(end, last)


@pytest.mark.parametrize("name", CELLS_OF_TORCH)
def test_both_directions_are_torchs_over_packed_sequences(name: str) -> None:
    layer = BidirectionalLayer(name, INPUTS, HIDDEN)  # pyright: ignore[reportArgumentType]
    other = LAYERS_OF_TORCH[name](INPUTS, HIDDEN, batch_first=True, bidirectional=True)
    for half, suffix in ((layer.forwards, "l0"), (layer.backwards, "l0_reverse")):
        half.cell.load_state_dict({
            key: getattr(other, f"{key}_{suffix}") for key in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        })  # fmt: skip
    inputs, length = torch.randn(BATCH, TIME, INPUTS), torch.tensor([7, 3, 1])
    packed = nn.utils.rnn.pack_padded_sequence(inputs, length, batch_first=True)
    expected, _ = nn.utils.rnn.pad_packed_sequence(other(packed)[0], batch_first=True)
    keep = torch.arange(TIME) < length[:, None]
    torch.testing.assert_close(layer(inputs, length) * keep[:, :, None], expected)


def test_reversed_twice_is_as_before() -> None:
    inputs, length = torch.randn(BATCH, TIME, INPUTS), torch.tensor([7, 3, 1])
    once = reversed_within(inputs, length)
    assert torch.equal(once[1, :3], inputs[1, :3].flip(0))
    assert torch.equal(once[1, 3:], inputs[1, 3:])
    assert torch.equal(reversed_within(once, length), inputs)


def test_the_forget_gate_begins_open() -> None:
    cell = CELLS["lstm"](INPUTS, HIDDEN)
    assert cell.bias_ih.tolist() == [0.0] * HIDDEN + [1.0] * HIDDEN + [0.0] * 2 * HIDDEN
    gate = cell.weight_hh[:HIDDEN]
    torch.testing.assert_close(gate @ gate.T, torch.eye(HIDDEN))
