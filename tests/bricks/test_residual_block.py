"""The residual block against its equations, layer by layer."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from modules.bricks.residual_block import ResidualBlock

MAPS = torch.randn(2, 8, 6, 6, generator=torch.Generator().manual_seed(0))


def convolved(block: nn.Module, name: str, maps: Tensor, stride: int = 1) -> Tensor:
    weight = block.get_parameter(f"{name}.convolution.weight")
    return functional.conv2d(maps, weight, stride=stride, padding=weight.shape[-1] // 2)


def normalised(maps: Tensor) -> Tensor:
    return functional.batch_norm(maps, None, None, training=True, eps=1e-3)


def test_two_layers_and_the_input_are_added() -> None:
    block = ResidualBlock(8, 8)
    inside = normalised(convolved(block, "layers.0", MAPS)).relu()
    answer = normalised(convolved(block, "layers.1", inside))
    torch.testing.assert_close(block(MAPS), (MAPS + answer).relu())


def test_a_bottleneck_narrows_and_widens_and_its_shortcut_is_a_projection() -> None:
    block = ResidualBlock(8, 4, stride=2, bottleneck=True)
    inside = normalised(convolved(block, "layers.0", MAPS)).relu()
    inside = normalised(convolved(block, "layers.1", inside, stride=2)).relu()
    answer = normalised(convolved(block, "layers.2", inside))
    shortcut = normalised(convolved(block, "shortcut", MAPS, stride=2))
    assert answer.shape == (2, 16, 3, 3)
    torch.testing.assert_close(block(MAPS), (shortcut + answer).relu())


def test_before_activation_nothing_comes_after_the_sum() -> None:
    block = ResidualBlock(8, 8, pre_activation=True)
    inside = convolved(block, "layers.0", normalised(MAPS).relu())
    answer = convolved(block, "layers.1", normalised(inside).relu())
    torch.testing.assert_close(block(MAPS), MAPS + answer)


@pytest.mark.parametrize("pre_activation", [False, True])
def test_without_a_shortcut_it_is_a_plain_net(pre_activation: bool) -> None:
    block = ResidualBlock(8, 8, shortcut=False, pre_activation=pre_activation)
    expected = block.layers(MAPS)
    torch.testing.assert_close(block(MAPS), expected if pre_activation else expected.relu())
