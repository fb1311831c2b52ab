"""SSD: a row of answers for each default box, in the same order."""

import pytest
import torch
from torch import nn

from modules.models.convolutional.resnet import ResNet
from modules.models.convolutional.ssd import SSD


def detector() -> SSD:
    backbone = ResNet((3, 64, 64), None, num_blocks=(1, 1, 1), num_filters=(4, 6, 8), stem="large")
    return SSD(backbone, 5, sizes_px=[8, 16, 32, 64], num_filters=8).eval()


def test_answers_stand_in_the_order_of_the_default_boxes() -> None:
    model = detector()
    images = torch.rand(2, 3, 64, 96)
    found = model(images)
    num_boxes = (16 * 24 + 8 * 12 + 4 * 6) * 4
    assert found.logits.shape == (2, num_boxes, 6) and found.offsets.shape == (2, num_boxes, 4)
    assert found.default_boxes.shape == (num_boxes, 4)
    # The second shape at row 3, column 5 of the second map.
    maps = model.pyramid(list(model.backbone.feature_maps(images).values()))
    place = 16 * 24 * 4 + (3 * 12 + 5) * 4 + 1
    expected = model.classes(maps[1])[:, 6:12, 3, 5]
    torch.testing.assert_close(found.logits[:, place], expected)
    left, top, right, bottom = found.default_boxes[place].tolist()
    assert ((left + right) / 2, (top + bottom) / 2) == (5.5 * 8, 3.5 * 8)


def test_an_object_is_improbable_before_training() -> None:
    share = 1 - detector()(torch.zeros(1, 3, 64, 64)).logits.softmax(-1)[..., 0]
    assert 0.02 < share.mean() < 0.15


def test_refused() -> None:
    with pytest.raises(ValueError, match="no backbone"):
        SSD(nn.Identity(), 5, [8, 16])
    with pytest.raises(ValueError, match="one more"):
        SSD(detector().backbone, 5, [8, 16])
    with pytest.raises(ValueError, match="min_stride=32: ResNet has no maps so coarse"):
        SSD(detector().backbone, 5, [8, 16], min_stride=32)


def test_finer_maps_are_left_alone() -> None:
    coarse = SSD(detector().backbone, 5, sizes_px=[16, 32, 64], num_filters=8, min_stride=8).eval()
    found = coarse(torch.rand(1, 3, 64, 96))
    assert found.logits.shape[1] == (8 * 12 + 4 * 6) * 4
