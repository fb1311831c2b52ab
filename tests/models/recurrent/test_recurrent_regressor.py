"""The regressor answers at each sequence's own end; its gradient through time is that of every state."""

import pytest
import torch

from modules.bricks.recurrent_layer import CellName
from modules.models.recurrent.recurrent_regressor import RecurrentRegressor, gradient_through_time

CELLS: list[CellName] = ["elman", "lstm", "gru"]


@pytest.mark.parametrize("cell", CELLS)
def test_padding_changes_no_answer(cell: CellName) -> None:
    torch.manual_seed(0)
    model = RecurrentRegressor(2, 3, hidden_size=5, num_layers=2, cell=cell)
    sequences = torch.randn(2, 6, 2)
    both = model(sequences, torch.tensor([4, 6]))
    alone = model(sequences[:1, :4], torch.tensor([4]))
    torch.testing.assert_close(both[:1], alone)
    assert both.shape == (2, 3)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("num_layers", [1, 2])
def test_step_by_step_it_is_the_same_net(cell: CellName, num_layers: int) -> None:
    torch.manual_seed(0)
    model = RecurrentRegressor(2, 1, hidden_size=5, num_layers=num_layers, cell=cell).double()
    sequences = torch.randn(3, 7, 2, dtype=torch.float64)
    answers, states = model.by_steps(sequences)
    torch.testing.assert_close(answers, model(sequences, torch.full((3,), 7)))
    assert len(states) == 7


@pytest.mark.parametrize("cell", CELLS)
def test_the_gradient_through_time_is_what_a_changed_state_changes(cell: CellName) -> None:
    torch.manual_seed(0)
    model = RecurrentRegressor(2, 1, hidden_size=4, cell=cell).double()
    sequences = torch.randn(2, 5, 2, dtype=torch.float64)
    answers, states = model.by_steps(sequences)
    norms = gradient_through_time(answers.square().sum(), states)
    assert norms.shape == (2, 5)

    step = 2
    (layer,) = model.layers

    def rest(*state: torch.Tensor) -> torch.Tensor:
        for inputs in sequences.unbind(1)[step + 1 :]:
            state = layer.cell(inputs, state)  # pyright: ignore
        return model.output(state[0]).square().sum()

    state = tuple(tensor.detach() for tensor in states[step])
    slopes = []
    for part, tensor in enumerate(state):
        slope = torch.zeros_like(tensor)
        for place in range(tensor.numel()):
            values = []
            for change in (1e-6, -1e-6):
                changed = [one.clone() for one in state]
                changed[part].view(-1)[place] += change
                values.append(rest(*changed))
            slope.view(-1)[place] = (values[0] - values[1]) / 2e-6
        slopes.append(slope)
    expected = torch.cat(slopes, dim=1).norm(dim=1)
    torch.testing.assert_close(norms[:, step], expected, rtol=1e-5, atol=1e-8)
