"""The Grid LSTM: a cell is its equations, a grid by diagonals is a loop over its cells."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from modules.bricks.grid_lstm_cell import GridLSTMCell, lstm_transform
from modules.bricks.grid_lstm_layer import GridLSTMLayer


def one_by_one(layer: GridLSTMLayer, hidden: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    """Every cell by itself, along depth within each step."""
    zeros = torch.zeros_like(hidden[0])
    along_time = [(zeros, zeros)] * layer.depth
    tops = []
    for h, m in zip(hidden, memory, strict=True):
        for depth in range(layer.depth):
            weights = 0 if layer.tied else depth
            h_time, m_time = along_time[depth]
            gates = torch.cat([h_time, h], 1) @ layer.weight[weights].T + layer.bias[weights]
            new_h, new_m = lstm_transform(gates, torch.cat([m_time, m], 1))
            (h_time, h), (m_time, m) = new_h.chunk(2, dim=1), new_m.chunk(2, dim=1)
            along_time[depth] = h_time, m_time
        tops.append((h, m))
    return torch.stack([h for h, _ in tops]), torch.stack([m for _, m in tops])


@pytest.mark.parametrize(("time", "depth"), [(5, 3), (3, 5), (1, 4), (4, 1), (1, 1)])
@pytest.mark.parametrize("tied", [True, False])
def test_diagonals_give_what_the_double_loop_gives(tied: bool, time: int, depth: int) -> None:
    torch.manual_seed(0)
    layer = GridLSTMLayer(3, depth, tied).double()
    hidden, memory = torch.randn(2, time, 2, 3, dtype=torch.float64).requires_grad_().unbind()
    learned = [hidden, memory, *layer.parameters()]
    weights = torch.randn(2, time, 2, 3, dtype=torch.float64)
    found = []
    for outputs in (layer(hidden, memory), one_by_one(layer, hidden, memory)):
        stacked = torch.stack(outputs)
        found.append([stacked, *torch.autograd.grad((stacked * weights).sum(), learned)])
    for fast, slow in zip(*found, strict=True):
        torch.testing.assert_close(fast, slow, rtol=0, atol=1e-12)


def test_a_gradient_of_one_output_alone_is_right() -> None:
    torch.manual_seed(0)
    layer = GridLSTMLayer(2, 3).double()
    hidden, memory = torch.randn(2, 4, 1, 2, dtype=torch.float64).requires_grad_().unbind()
    assert torch.autograd.gradcheck(lambda h, m: layer(h, m)[0], (hidden, memory))


def by_hand(cell: GridLSTMCell, i: int, incoming: Sequence[Tensor], memory: Tensor) -> tuple[Tensor, Tensor]:
    """The paper's equations of one dimension."""
    transform, size = cell.transforms[i], cell.hidden_size
    u, f, o, c = (
        torch.cat(list(incoming), 1) @ transform.weight[rows].T + transform.bias[rows]  # pyright: ignore
        for rows in (slice(k * size, (k + 1) * size) for k in range(4))
    )
    new = f.sigmoid() * memory + u.sigmoid() * c.tanh()
    return (o.sigmoid() * new).tanh(), new


@pytest.mark.parametrize("num_dimensions", [1, 2, 3])
def test_all_dimensions_see_all_that_comes_in(num_dimensions: int) -> None:
    torch.manual_seed(0)
    cell = GridLSTMCell(4, num_dimensions)
    hidden, memory = list(torch.randn(num_dimensions, 2, 4)), list(torch.randn(num_dimensions, 2, 4))
    new_hidden, new_memory = cell(hidden, memory)
    for i in range(num_dimensions):
        expected = by_hand(cell, i, hidden, memory[i])
        torch.testing.assert_close((new_hidden[i], new_memory[i]), expected)


def test_priority_dimensions_see_what_the_others_made() -> None:
    torch.manual_seed(0)
    cell = GridLSTMCell(4, 3, priority=[0])
    hidden, memory = list(torch.randn(3, 2, 4)), list(torch.randn(3, 2, 4))
    new_hidden, new_memory = cell(hidden, memory)
    for i in (1, 2):
        torch.testing.assert_close((new_hidden[i], new_memory[i]), by_hand(cell, i, hidden, memory[i]))
    expected = by_hand(cell, 0, [hidden[0], *new_hidden[1:]], memory[0])
    torch.testing.assert_close((new_hidden[0], new_memory[0]), expected)


def test_a_plain_dimension_has_no_memory() -> None:
    torch.manual_seed(0)
    cell = GridLSTMCell(4, 2, plain=[1])
    hidden, memory = list(torch.randn(2, 2, 4)), list(torch.randn(2, 2, 4))
    new_hidden, new_memory = cell(hidden, memory)
    torch.testing.assert_close(new_hidden[1], cell.transforms[1](torch.cat(hidden, 1)).tanh())
    assert new_memory[1] is memory[1]


@pytest.mark.parametrize("tied", [True, False])
def test_the_gates_begin_open_to_the_past(tied: bool) -> None:
    layer = GridLSTMLayer(2, 3, tied)
    assert len(layer.weight) == (1 if tied else 3)
    assert layer.bias.tolist() == [[0.0] * 4 + [1.0] * 4 + [0.0] * 8] * len(layer.bias)
