"""FCN: sizes, and its sum by hand."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from modules.models.convolutional.fcn import FCN
from modules.models.convolutional.resnet import ResNet
from modules.weights.fitting import compare


def backbone() -> ResNet:
    return ResNet((3, 64, 64), None, num_blocks=(1, 1, 1, 1), num_filters=(4, 4, 6, 8), stem="large")


@pytest.mark.parametrize("stride", [4, 8, 16, 32])
@pytest.mark.parametrize("size", [(64, 96), (50, 33), (97, 65)])
def test_an_answer_for_each_pixel_of_any_size(stride: int, size: tuple[int, int]) -> None:
    model = FCN(backbone(), 5, stride).eval()
    assert model(torch.rand(2, 3, *size)).shape == (2, 5, *size)


def test_the_scores_of_coarse_maps_are_enlarged_and_added() -> None:
    model = FCN(backbone(), 5, 16).eval()
    images = torch.rand(1, 3, 64, 64)
    *_, sixteenth, coarsest = model.backbone.feature_maps(images).values()
    total = model.scores["stage3"](sixteenth) + model.upsampling["stage4"](model.scores["stage4"](coarsest))
    torch.testing.assert_close(model(images), functional.interpolate(total, scale_factor=16, mode="bilinear"))


def test_a_net_of_a_smaller_output_stride_takes_over_the_whole_of_a_coarser_one() -> None:
    coarse, fine = FCN(backbone(), 5, 32), FCN(backbone(), 5, 8)
    assert compare(fine, coarse.state_dict()).left_over == []


def test_refused() -> None:
    with pytest.raises(ValueError, match="strides 4, 8, 16, 32"):
        FCN(backbone(), 5, 2)
    with pytest.raises(ValueError, match="images of 40x31 pixels are smaller than the stride of 32"):
        FCN(backbone(), 5)(torch.rand(1, 3, 31, 40))
    with pytest.raises(ValueError, match="no backbone"):
        FCN(nn.Identity(), 5)
