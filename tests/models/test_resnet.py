"""ResNet's depths and sizes are those of the papers."""

from typing import Any

import pytest
import torch

from modules.models.convolutional.resnet import ResNet

IMAGENET: dict[str, Any] = {"input_shape": (3, 224, 224), "num_classes": 1000, "stem": "large"}
WIDTHS = (64, 128, 256, 512)


@pytest.mark.parametrize(
    ("settings", "num_parameters"),
    [
        # As torchvision's models have them.
        ({"num_blocks": (2, 2, 2, 2)}, 11_689_512),
        ({"num_blocks": (3, 4, 6, 3)}, 21_797_672),
        ({"num_blocks": (3, 4, 6, 3), "bottleneck": True}, 25_557_032),
    ],
)
def test_sizes_on_imagenet(settings: dict[str, Any], num_parameters: int) -> None:
    with torch.device("meta"):
        model = ResNet(**IMAGENET, num_filters=WIDTHS, **settings)
        assert model(torch.empty(1, 3, 224, 224)).shape == (1, 1000)
        *_, last = model.feature_maps(torch.empty(1, 3, 224, 224)).values()
    assert sum(parameter.numel() for parameter in model.parameters()) == num_parameters
    assert last.shape[2:] == (7, 7)


@pytest.mark.parametrize("n", [1, 3, 9])
def test_depth_on_small_images_is_six_n_and_two(n: int) -> None:
    model = ResNet((3, 32, 32), 10, num_blocks=(n, n, n))
    weights = [name for name, value in model.named_parameters() if value.dim() > 1 and "shortcut" not in name]
    assert len(weights) == 6 * n + 2
    plain = ResNet((3, 32, 32), 10, num_blocks=(n, n, n), shortcut=False)
    assert [name for name, value in plain.named_parameters() if value.dim() > 1] == weights


def test_a_stage_without_a_number_of_blocks_is_refused() -> None:
    with pytest.raises(ValueError, match="num_blocks has 2 stages and num_filters 3"):
        ResNet((1, 28, 28), 10, num_blocks=(1, 1))
