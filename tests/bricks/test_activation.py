import pytest
import torch

from modules.bricks.activation import ACTIVATIONS, activation_layer, initialise


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_each_keeps_the_shape_and_passes_a_gradient(name):
    signal = torch.linspace(-2, 2, 12).reshape(3, 4).requires_grad_()
    answer = activation_layer(name)(signal)
    answer.sum().backward()
    assert answer.shape == signal.shape
    assert signal.grad is not None and signal.grad.abs().sum() > 0


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="activation='rellu' is none of identity, sigmoid, tanh, relu"):
        activation_layer("rellu")


@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_initial_weights_keep_the_variance_of_the_signal(name):
    torch.manual_seed(0)
    signal = torch.randn(2000, 400)
    for _ in range(5):
        layer = torch.nn.Linear(400, 400)
        initialise(layer, name)
        signal = activation_layer(name)(layer(signal))
    # He's weights hold E[x^2] of a rectifier's output at 1; a tanh shrinks it slowly.
    assert 0.1 < signal.square().mean().item() < 2.0
