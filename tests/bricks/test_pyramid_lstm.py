"""PyraMiD-LSTM: six directions, plane by plane, and what each voxel has seen."""

import pytest
import torch
from torch import Tensor

from modules.bricks.conv_lstm_cell import ConvLSTMCell
from modules.bricks.lstm_cell import LSTMCell
from modules.bricks.pyramid_lstm_layer import PyramidLSTMLayer


def direction_by_direction(layer: PyramidLSTMLayer, volumes: Tensor) -> Tensor:
    """The definition: each cell on its own, one plane after the other."""
    total = torch.zeros(())
    for axis in (0, 1, 2):
        for cells, planes in (
            (layer.onwards, volumes.unbind(axis + 2)),
            (layer.back, volumes.unbind(axis + 2)[::-1]),
        ):
            cell = cells[axis]
            assert isinstance(cell, ConvLSTMCell)
            zeros = volumes.new_zeros(len(volumes), cell.hidden_channels, *planes[0].shape[2:])
            state, found = (zeros, zeros), []
            for plane in planes:
                state = cell(plane, state)
                found.append(state[0])
            total = total + torch.stack(found if cells is layer.onwards else found[::-1], dim=axis + 2)
    return total


def test_it_is_the_sum_of_six_directions_with_the_same_gradients() -> None:
    torch.manual_seed(0)
    layer = PyramidLSTMLayer(2, 3, kernel_size=3).double()
    volumes = torch.randn(2, 2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    direction = torch.randn(2, 3, 3, 4, 5, dtype=torch.float64)
    found = []
    for outputs in (layer(volumes), direction_by_direction(layer, volumes)):
        found.append(
            [outputs, *torch.autograd.grad((outputs * direction).sum(), [volumes, *layer.parameters()])]
        )
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_a_filter_of_one_pixel_is_an_lstm_at_each_pixel() -> None:
    torch.manual_seed(0)
    cell, lstm = ConvLSTMCell(3, 4, kernel_size=1).double(), LSTMCell(3, 4).double()
    with torch.no_grad():
        lstm.weight_ih.copy_(cell.weight_input[:, :, 0, 0])
        lstm.weight_hh.copy_(cell.weight_hidden[:, :, 0, 0])
        lstm.bias_ih.copy_(cell.bias)
    maps, hidden, before = (torch.randn(1, size, 2, 2, dtype=torch.float64) for size in (3, 4, 4))
    found = cell(maps, (hidden, before))
    for row in (0, 1):
        for column in (0, 1):
            place = (slice(None), slice(None), row, column)
            expected = lstm(maps[place], (hidden[place], before[place]))
            for one, other in zip(found, expected, strict=True):
                torch.testing.assert_close(one[place], other)


def test_a_pyramid_has_its_tip_at_the_voxel() -> None:
    torch.manual_seed(0)
    layer = PyramidLSTMLayer(1, 2, kernel_size=3).double()
    for cells in (layer.onwards, layer.back):
        for cell in list(cells)[1:] if cells is layer.onwards else cells:
            for weight in cell.parameters():
                torch.nn.init.zeros_(weight)
    volume = torch.randn(1, 1, 4, 7, 7, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(layer(volume)[0, :, 3, 3, 3].sum(), volume)
    for depth in range(4):  # along the first axis alone: a square that widens by a pixel a plane
        reach = 1 + 3 - depth
        seen = torch.zeros(7, 7, dtype=torch.bool)
        seen[max(0, 3 - reach) : 4 + reach, max(0, 3 - reach) : 4 + reach] = True
        assert torch.equal(gradient[0, 0, depth] != 0, seen)


def test_filters_of_an_even_side_are_refused() -> None:
    with pytest.raises(ValueError, match="kernel_size=4: filters of an even side would shift the maps"):
        PyramidLSTMLayer(1, 2, kernel_size=4)
