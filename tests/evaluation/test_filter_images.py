"""The first layer's filters."""

import torch
from torch import nn

from modules.evaluation.filter_images import first_layer_filters
from modules.models.convolutional.lenet import LeNet
from modules.models.feedforward.perceptron import Perceptron

SHAPE = (1, 12, 12)


def test_filters_are_those_of_the_first_layer() -> None:
    lenet = LeNet(SHAPE, num_classes=3, num_filters=[4], kernel_size=3, hidden_sizes=[])
    filters = first_layer_filters(lenet, SHAPE)
    assert filters is not None and filters.shape == (4, 1, 3, 3)
    model = Perceptron(SHAPE, num_classes=3, hidden_sizes=[5])
    filters = first_layer_filters(model, SHAPE)
    assert filters is not None and filters.shape == (5, *SHAPE)
    pixels = torch.rand(1, *SHAPE)
    first = next(layer for layer in model.modules() if isinstance(layer, nn.Linear))
    potentials = (filters * pixels).sum(dim=(1, 2, 3)) + first.bias
    torch.testing.assert_close(potentials, first(pixels.flatten(1))[0])
    assert first_layer_filters(nn.Sequential(nn.Embedding(3, 4), nn.Linear(4, 2)), SHAPE) is None
    assert first_layer_filters(nn.Flatten(), SHAPE) is None
