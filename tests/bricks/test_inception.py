import torch
from torch.nn import functional

from modules.bricks.inception import Inception


def test_four_branches_see_the_same_maps_and_lie_side_by_side():
    brick = Inception(8, 2, 3, 4, 1, 5, 6, norm="none")
    maps = torch.randn(2, 8, 7, 7)

    def layer(inputs, name):
        weight = brick.get_parameter(f"{name}.convolution.weight")
        return functional.conv2d(inputs, weight, padding=weight.shape[-1] // 2).relu()

    pooled = functional.max_pool2d(maps, 3, stride=1, padding=1)
    branches = [
        layer(maps, "branch_1x1"),
        layer(layer(maps, "branch_3x3.0"), "branch_3x3.1"),
        layer(layer(maps, "branch_5x5.0"), "branch_5x5.1"),
        layer(pooled, "branch_pooled.1"),
    ]
    assert [branch.shape[1] for branch in branches] == [2, 4, 5, 6] and brick.out_channels == 17
    torch.testing.assert_close(brick(maps), torch.cat(branches, dim=1))
