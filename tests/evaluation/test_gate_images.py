"""Gates over time: which layer's, of which units, and that they are the cell's own."""

import numpy as np
import pytest
import torch
from torch import nn

from modules.bricks.recurrent_layer import RecurrentLayer
from modules.datamodules.vocabulary import BEGIN, END, SPECIAL, Vocabulary
from modules.evaluation.gate_images import gates_over_time
from modules.models.recurrent.recurrent_language_model import RecurrentLanguageModel

VOCABULARY = Vocabulary("characters", (*SPECIAL, "a", "b"))
NUMBERS = [BEGIN, 4, 5, 5, 4, END]


def test_the_layers_own_gates_make_its_states() -> None:
    layer, inputs = RecurrentLayer("lstm", 3, 5), torch.randn(2, 7, 3)
    gates = layer.open_gates(inputs)
    outputs, (_, last) = layer(inputs)
    # h = o tanh(c): of the last step both are known.
    torch.testing.assert_close(gates["output"][:, -1] * last.tanh(), outputs[:, -1])
    layer = RecurrentLayer("gru", 3, 5)
    with torch.no_grad():
        layer.cell.bias_ih[5:10] = 100.0  # the update gate keeps all
    assert layer.open_gates(inputs)["update"].min() == 1.0
    torch.testing.assert_close(layer(inputs)[0], torch.zeros(2, 7, 5))


def test_a_gate_that_opens_at_a_letter_is_dark_there() -> None:
    model = RecurrentLanguageModel(len(VOCABULARY), embedding_size=1, hidden_size=2, num_layers=2)
    with torch.no_grad():
        model.embedding.weight[:, 0] = torch.tensor([0.0, 0, 0, 0, -1, 1])
        for weight in model.layers[0].parameters():
            weight.zero_()
        cell = model.layers[0].cell
        assert isinstance(cell, nn.Module)
        cell.weight_ih[1] = 50.0  # pyright: ignore # the second unit's input gate opens at b and is shut at a
    tokens = torch.tensor([NUMBERS])
    gallery = gates_over_time(model, lambda: model(tokens), VOCABULARY, NUMBERS)
    assert gallery is not None and [one.label for one in gallery.images] == [
        "input gate",
        "forget gate",
        "output gate",
    ]
    pixels = gallery.images[0].pixels
    # The unit whose gates move comes first, in the row below the letters; the columns end at the right.
    row = pixels[16 + 7].astype(int).sum(1)
    at = [int(row[pixels.shape[1] - 14 * (len(NUMBERS) - place) + 6]) for place in range(len(NUMBERS))]
    half, shut, opened = at[0], at[1], at[2]
    assert opened < half < shut and at == [half, shut, opened, opened, shut, half]
    assert np.ptp(pixels[16 + 14 + 7, -14 * len(NUMBERS) + 3 :: 14], axis=0).max() == 0


@pytest.mark.parametrize("model", [nn.Linear(2, 2), RecurrentLayer("elman", 2, 2)])
def test_nothing_is_shown_where_there_is_no_gate(model: nn.Module) -> None:
    def read() -> None:
        model(torch.zeros(1, 3, 2))

    assert gates_over_time(model, read, VOCABULARY, [4, 4, 4]) is None
