"""The feature pyramid against its formula."""

import torch
from torch.nn import functional

from modules.bricks.feature_pyramid import FeaturePyramid


def test_each_map_is_its_own_and_all_above() -> None:
    brick = FeaturePyramid([3, 5, 7], 4).eval()
    maps = [torch.rand(2, 3, 9, 12), torch.rand(2, 5, 5, 6), torch.rand(2, 7, 3, 3)]
    found = brick(maps)
    assert [tuple(map_.shape) for map_ in found] == [(2, 4, 9, 12), (2, 4, 5, 6), (2, 4, 3, 3)]
    coarse = brick.lateral[2](maps[2])
    middle = brick.lateral[1](maps[1]) + functional.interpolate(coarse, (5, 6))
    fine = brick.lateral[0](maps[0]) + functional.interpolate(middle, (9, 12))
    for number, expected in enumerate((fine, middle, coarse)):
        torch.testing.assert_close(found[number], brick.smoothing[number](expected))
