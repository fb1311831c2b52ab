"""Multi-dimensional LSTMs: by diagonals what the cell says cell by cell, with the same gradients."""

from itertools import product

import pytest
import torch
from torch import Tensor, nn

from modules.bricks.lstm_cell import LSTMCell
from modules.bricks.md_lstm_cell import MDLSTMCell
from modules.bricks.md_lstm_diagonals import turned_axes
from modules.bricks.md_lstm_layer import MDLSTMLayer


def cell_by_cell(layer: MDLSTMLayer, inputs: Tensor) -> Tensor:
    """The definition: [batch, *sizes, inputs] -> [batch, *sizes, directions, hidden]."""
    batch, *sizes, _ = inputs.shape
    found = []
    for cell, turned in zip(layer.cells, turned_axes(len(sizes), len(layer.cells)), strict=True):
        assert isinstance(cell, MDLSTMCell)
        along = inputs.flip([axis + 1 for axis in turned])
        zero = inputs.new_zeros(batch, layer.hidden_size)
        states = {}
        for place in product(*(range(size) for size in sizes)):
            before = [
                states.get(tuple(n - (d == axis) for d, n in enumerate(place)), (zero, zero))
                for axis in range(len(sizes))
            ]
            states[place] = cell(along[(slice(None), *place)], before)
        hidden = torch.stack([hidden for hidden, _ in states.values()], dim=1).unflatten(1, sizes)
        found.append(hidden.flip([axis + 1 for axis in turned]))
    return torch.stack(found, dim=-2)


@pytest.mark.parametrize(
    ("sizes", "directions"), [((6,), 2), ((1, 1), 4), ((4, 5), None), ((3, 4), 1), ((2, 3, 4), None)]
)
def test_diagonals_give_what_cells_give_one_by_one(sizes: tuple[int, ...], directions: int | None) -> None:
    torch.manual_seed(0)
    layer = MDLSTMLayer(len(sizes), 3, 4, directions).double()
    for weight in layer.parameters():
        nn.init.normal_(weight, std=0.5)
    inputs = torch.randn(2, *sizes, 3, dtype=torch.float64, requires_grad=True)
    direction = torch.randn(2, *sizes, len(layer.cells), 4, dtype=torch.float64)
    found = []
    for way in (layer, lambda given: cell_by_cell(layer, given)):
        outputs = way(inputs)
        found.append(
            [outputs, *torch.autograd.grad((outputs * direction).sum(), [inputs, *layer.parameters()])]
        )
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_with_one_axis_it_is_an_lstm() -> None:
    torch.manual_seed(0)
    layer = MDLSTMLayer(1, 3, 4, 1).double()
    lstm = LSTMCell(3, 4).double()
    (cell,) = layer.cells
    assert isinstance(cell, MDLSTMCell)
    order = torch.cat([torch.arange(4) + 4 * gate for gate in (2, 1, 3, 0)])  # i, f, g, o out of o, f, i, g
    with torch.no_grad():
        lstm.weight_ih.copy_(cell.weight_input.T[order])
        lstm.weight_hh.copy_(cell.weight_hidden[0].T[order])
        lstm.bias_ih.copy_(cell.bias[order])
    inputs = torch.randn(2, 7, 3, dtype=torch.float64)
    zeros = inputs.new_zeros(2, 4)
    expected, _ = lstm.over(inputs, (zeros, zeros))
    torch.testing.assert_close(layer(inputs)[..., 0, :], expected, rtol=0, atol=1e-12)


def test_mixed_precision_leaves_its_own_sums_exact() -> None:
    torch.manual_seed(0)
    layer, inputs = MDLSTMLayer(2, 3, 4), torch.randn(2, 3, 4, 3)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = layer(inputs)
    assert torch.equal(mixed, layer(inputs))
    mixed.sum().backward()


def test_numerical_gradients() -> None:
    torch.manual_seed(0)
    layer = MDLSTMLayer(2, 2, 2).double()
    inputs = torch.randn(1, 2, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (inputs,))


def test_more_directions_than_corners_are_refused() -> None:
    with pytest.raises(ValueError, match="num_directions=5, and a grid of 2 axes has 4 corners"):
        MDLSTMLayer(2, 3, 4, 5)
