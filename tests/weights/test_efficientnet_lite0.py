import torch

from modules.models.convolutional.efficientnet_lite import EfficientNetLite
from modules.weights.efficientnet_lite0 import EfficientNetLite0Weights


def port_names():
    """The names in the package's file."""
    layers = ["_conv_stem", "_bn0", "_conv_head", "_bn1", "_fc"]
    for block in range(16):
        inner = ["_depthwise_conv", "_bn1", "_project_conv", "_bn2"]
        inner += ["_expand_conv", "_bn0"] if block else []
        layers += [f"_blocks.{block}.{layer}" for layer in inner]
    for layer in layers:
        yield f"{layer}.weight"
        if "_bn" in layer:
            yield from (f"{layer}.{kind}" for kind in ("bias", "running_mean", "running_var"))
            yield f"{layer}.num_batches_tracked"
    yield "_fc.bias"


def test_every_name_of_the_port_is_one_of_ours():
    found = {name: torch.tensor(number) for number, name in enumerate(port_names())}
    renamed = EfficientNetLite0Weights()(found)
    assert set(renamed) == set(EfficientNetLite((3, 32, 32), 10).state_dict())
    assert renamed["features.4.depthwise.convolution.weight"] is found["_blocks.3._depthwise_conv.weight"]
    assert renamed["features.17.normalisation.running_var"] is found["_bn1.running_var"]


def test_a_name_that_is_not_the_ports_stays():
    found = {name: torch.zeros(1) for name in ("_blocks.3._se_reduce.weight", "_x.bias", "features.0.weight")}
    assert EfficientNetLite0Weights()(found) == found
