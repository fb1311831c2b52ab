"""Grid LSTMs end to end: tied weights are one set, no label sees what comes later, an exported program."""

import io

import pytest
import torch

from modules.models.recurrent.grid_lstm_classifier import GridLSTMClassifier
from modules.models.recurrent.grid_lstm_labeller import GridLSTMLabeller
from modules.models.recurrent.stacked_lstm_classifier import StackedLSTMClassifier
from modules.registry.export import export_program
from modules.tasks.sequence_labelling import MostProbableLabels
from modules.tasks.served import Served, ServedInput, ServedOutput

VOCABULARY = {"kind": "characters", "tokens": []}


def test_tied_weights_are_one_set() -> None:
    cell = 4 * 8 * 8 + 4 * 8
    sizes = [
        sum(weight.numel() for weight in GridLSTMClassifier(3, 2, 8, depth, tied).cells.parameters())
        for depth, tied in ((5, True), (5, False))
    ]
    assert sizes == [cell, 5 * cell]


@pytest.mark.parametrize("tied", [True, False])
def test_the_classifier_is_its_cells_one_after_another(tied: bool) -> None:
    torch.manual_seed(0)
    model = GridLSTMClassifier(3, 2, 4, 3, tied)
    assert set(model.projection.weight.unique().tolist()) <= {-1.0, 1.0}
    bits = torch.tensor([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]])
    hidden, memory = model.projection(bits * 2 - 1).split(4, dim=1)
    for depth in range(3):
        (hidden,), (memory,) = model.cells[0 if tied else depth]([hidden], [memory])
    assert torch.equal(model(bits), model.output(hidden))


def test_a_label_depends_on_what_came_before_it_alone() -> None:
    torch.manual_seed(0)
    model = GridLSTMLabeller(9, 5, 4, 3)
    tokens, length = torch.randint(0, 9, (2, 6)), torch.tensor([6, 4])
    changed = tokens.clone()
    changed[:, 4:] = (changed[:, 4:] + 1) % 9
    before, after = model(tokens, length), model(changed, length)
    torch.testing.assert_close(before[:, :4], after[:, :4])
    assert (before[:, 4] != after[:, 4]).all()


def test_the_stacked_lstm_reads_all_bits() -> None:
    torch.manual_seed(0)
    bits = torch.zeros(4, 3)
    bits[torch.arange(1, 4), torch.arange(3)] = 1.0
    assert len(StackedLSTMClassifier(2, 5)(bits).unique(dim=0)) == 4


def test_an_exported_labeller_takes_sequences_up_to_its_steps() -> None:
    torch.manual_seed(0)
    labels = MostProbableLabels(GridLSTMLabeller(9, 5, 4, 2, export_steps=8))
    text = ServedInput("text", "text", ("time",), VOCABULARY)
    output = ServedOutput("labels", "text", ("time",), vocabulary=VOCABULARY)
    served = Served(labels, (text,), (output,))
    buffer = io.BytesIO()
    torch.export.save(export_program(served, (torch.zeros(2, 8).long(), torch.tensor([8, 8]))), buffer)
    program = torch.export.load(io.BytesIO(buffer.getvalue())).module()
    for batch, time in ((1, 8), (3, 5), (2, 1)):
        tokens, length = torch.randint(0, 9, (batch, time)), torch.full((batch,), time)
        assert torch.equal(program(tokens, length), labels(tokens, length))
