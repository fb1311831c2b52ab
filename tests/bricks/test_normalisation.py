"""Normalisation by name: of the batch, of each image alone."""

import pytest
import torch
from torch import nn

from modules.bricks.normalisation import normalisation_layer


def test_instance_normalisation_is_of_each_channel_of_each_image() -> None:
    maps = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    layer = normalisation_layer("instance", 3).double()
    assert isinstance(layer, nn.InstanceNorm2d)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([1.0, 2.0, 3.0]))
        layer.bias.copy_(torch.tensor([0.0, 0.5, -1.0]))
    for mode in (True, False):
        found = layer.train(mode)(maps)
        for image in range(2):
            for channel in range(3):
                one = maps[image, channel]
                spread = ((one - one.mean()).square().mean() + 1e-5).sqrt()
                by_hand = (1 + channel) * (one - one.mean()) / spread + (0.0, 0.5, -1.0)[channel]
                torch.testing.assert_close(found[image, channel], by_hand)
    assert dict(layer.named_buffers()) == {}, "nothing is carried from one image to the next"


def test_an_unknown_norm_is_refused() -> None:
    with pytest.raises(ValueError, match="norm='layer' is none of none, batch, instance"):
        normalisation_layer("layer", 3)
