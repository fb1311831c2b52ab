import torch
from torch.nn import functional

from modules.bricks.fire import Fire


def test_both_sizes_of_filters_see_what_was_squeezed():
    fire = Fire(8, 2, 3)
    maps = torch.randn(2, 8, 5, 5)
    squeezed = functional.conv2d(maps, fire.squeeze.convolution.weight).relu()
    small = functional.conv2d(squeezed, fire.expand1x1.convolution.weight).relu()
    large = functional.conv2d(squeezed, fire.expand3x3.convolution.weight, padding=1).relu()
    torch.testing.assert_close(fire(maps), torch.cat([small, large], dim=1))
