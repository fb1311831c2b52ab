"""A deep belief net upwards, and unrolled to an autoencoder."""

import pytest
import torch

from modules.models.boltzmann.deep_belief_net import DeepBeliefNet
from modules.models.boltzmann.unrolling import Unrolling
from modules.models.feedforward.autoencoder import Autoencoder

SHAPE = [1, 4, 4]


def net(*hidden_sizes: int) -> DeepBeliefNet:
    torch.manual_seed(0)
    model = DeepBeliefNet(SHAPE, num_classes=3, hidden_sizes=hidden_sizes).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def test_layers_pass_on_their_probabilities() -> None:
    model, images = net(7, 5), torch.rand(6, *SHAPE)
    first, second = model.boltzmann_layers()
    expected = second.hidden_probabilities(first.hidden_probabilities(images.flatten(1)))
    torch.testing.assert_close(model(images), model.output(expected))


def test_no_layer_is_refused() -> None:
    with pytest.raises(ValueError, match="hidden_sizes is empty"):
        net()


def test_unrolled_it_goes_up_and_down_as_the_machines_do() -> None:
    model, images = net(9, 7, 5), torch.rand(6, *SHAPE)
    autoencoder = Autoencoder(SHAPE, code_size=5, hidden_sizes=[9, 7], activation="sigmoid")
    autoencoder.load_state_dict(Unrolling()(model.state_dict()))
    first, second, top = model.boltzmann_layers()
    features = second.hidden_probabilities(first.hidden_probabilities(images.flatten(1)))
    codes = autoencoder.encode(images)
    torch.testing.assert_close(codes, top(features))
    # Near 0 the line and the sigmoid are alike, and the decoder gives what the machines do.
    small = 0.01 * codes
    down = first.visible_mean(second.visible_mean(top.visible_mean(small.sigmoid())))
    torch.testing.assert_close(autoencoder.decode(small).sigmoid().flatten(1), down, rtol=0, atol=1e-5)


def test_weights_of_another_model_give_nothing() -> None:
    assert Unrolling()(torch.nn.Linear(2, 2).state_dict()) == {}
