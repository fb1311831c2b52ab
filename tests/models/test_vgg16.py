"""VGG16's maps are those of its layers one after another."""

import pytest
import torch
from torch.nn import functional

from modules.models.convolutional.stylised_image import StylisedImage
from modules.models.convolutional.vgg16 import LAYERS, Vgg16
from modules.models.features import Backbone


def test_maps_have_the_sizes_that_are_told() -> None:
    model = Vgg16()
    assert isinstance(model, Backbone) and len(LAYERS) == 13
    maps = model.feature_maps(torch.rand(1, 3, 32, 48))
    assert list(maps) == LAYERS == [info.name for info in model.feature_info]
    for info in model.feature_info:
        assert maps[info.name].shape == (1, info.num_channels, 32 // info.stride, 48 // info.stride)
    assert sum(weight.numel() for weight in model.parameters()) == 14_714_688


@pytest.mark.parametrize("pooling", ["average", "max"])
def test_a_window_becomes_its_average_or_its_maximum(pooling: str) -> None:
    torch.manual_seed(0)
    model = Vgg16(pooling, last="conv2_1").double()
    images = torch.rand(1, 3, 16, 16, dtype=torch.float64)
    maps = model.feature_maps(images)
    before = maps["conv1_2"]
    pooled = torch.stack([before[..., y::2, x::2] for y in (0, 1) for x in (0, 1)])
    pooled = pooled.mean(0) if pooling == "average" else pooled.amax(0)
    kernel, bias = (model.get_parameter(f"features.3.convolution.{name}") for name in ("weight", "bias"))
    torch.testing.assert_close(maps["conv2_1"], functional.conv2d(pooled, kernel, bias, padding=1).relu())
    assert torch.equal(model(images), maps["conv2_1"])


def test_it_is_shown_grey_levels_less_their_mean() -> None:
    model = Vgg16(last="conv1_1")
    (model.get_parameter("features.0.convolution.weight")).data.zero_()
    model.get_parameter("features.0.convolution.weight").data[0, 0, 1, 1] = 1
    model.get_parameter("features.0.convolution.bias").data.zero_()
    found = model(torch.ones(1, 3, 4, 4))
    torch.testing.assert_close(found[0, 0], torch.full((4, 4), 255 - 122.67892))


def test_what_cannot_be() -> None:
    with pytest.raises(ValueError, match="last='conv6_1' is none of"):
        Vgg16(last="conv6_1")
    with pytest.raises(ValueError, match="VGG16 takes"):
        StylisedImage((1, 32, 32))
    with pytest.raises(ValueError, match="VGG16 takes"):
        StylisedImage((3, 8, 32))
