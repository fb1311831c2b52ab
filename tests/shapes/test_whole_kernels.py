"""torch's recurrent kernels on the meta device: whole, with the shapes and multiply-adds of their steps."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from modules.bricks.recurrent_layer import CellName, RecurrentLayer
from modules.shapes.whole_kernels import WholeKernels

BATCH, TIME, INPUTS, HIDDEN = 3, 7, 5, 4


def counted(layer: RecurrentLayer, inputs: torch.Tensor, whole: bool) -> tuple[list[torch.Size], int, int]:
    """Shapes of outputs, states and gradients, and the operations of forward and backward pass."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        with WholeKernels() if whole else torch.enable_grad():
            outputs, states = layer(inputs)
        forward = counter.get_total_flops()
        (outputs.sum() + sum(state.sum() for state in states)).backward()
    gradients = [weight.grad for weight in layer.parameters()]
    layer.zero_grad()
    shapes = [one.shape for one in (outputs, *states, *gradients) if one is not None]
    return shapes, forward, counter.get_total_flops() - forward


@pytest.mark.parametrize("cell", ["elman", "lstm", "gru"])
def test_shapes_gradients_and_arithmetic_are_those_of_the_steps(cell: CellName) -> None:
    with torch.device("meta"):
        layer, inputs = RecurrentLayer(cell, INPUTS, HIDDEN), torch.empty(BATCH, TIME, INPUTS)
    shapes, forward, backward = counted(layer, inputs, whole=True)
    expected, of_steps, back_through_steps = counted(layer, inputs, whole=False)
    assert shapes == expected and len(shapes) == 1 + layer.cell.num_states + 4
    assert forward == of_steps
    # The state before the first step, which is given, needs no gradient.
    rows = {"elman": 1, "lstm": 4, "gru": 3}[cell] * HIDDEN
    assert 0 <= backward - back_through_steps <= 2 * BATCH * rows * HIDDEN


def test_shapes_that_do_not_agree_are_torchs_error() -> None:
    with torch.device("meta"), WholeKernels():
        layer = RecurrentLayer("lstm", INPUTS, HIDDEN)
        with pytest.raises(RuntimeError):
            layer(torch.empty(BATCH, TIME, INPUTS + 1))


def test_numbers_of_a_cpu_are_computed() -> None:
    layer, inputs = RecurrentLayer("gru", INPUTS, HIDDEN), torch.randn(BATCH, TIME, INPUTS)
    with WholeKernels():
        found, _ = layer(inputs)
    assert torch.equal(found, layer(inputs)[0])
