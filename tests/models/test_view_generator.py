"""The generator of views, layer by layer with torch's own operations, and what it refuses."""

from typing import Any

import pytest
import torch
from torch.nn import functional

from modules.models.convolutional.view_generator import ViewGenerator

SMALL: dict[str, Any] = {
    "num_classes": 5,
    "view_field": "view",
    "view_size": 4,
    "image_shape": (3, 16, 24),
    "class_size": 6,
    "view_sizes": (7,),
    "joined_sizes": (9,),
    "num_filters": (8, 4),
    "norm": "none",
}


def test_image_and_mask_are_what_torch_computes() -> None:
    torch.manual_seed(0)
    model = ViewGenerator(**SMALL).double()
    model.standardise.take({"view": {"mean": [0.1, 0.2, 0.3, 0.4], "deviation": [0.5, 0.6, 0.7, 0.8]}})
    weights = model.state_dict()
    classes, view = torch.rand(2, 5, dtype=torch.float64), torch.randn(2, 4, dtype=torch.float64)

    def dense(values: torch.Tensor, name: str) -> torch.Tensor:
        linear = functional.linear(values, weights[f"{name}.linear.weight"], weights[f"{name}.linear.bias"])
        return linear.relu()

    def deconvolution(maps: torch.Tensor, name: str) -> torch.Tensor:
        own = f"{name}.deconvolution"
        return functional.conv_transpose2d(maps, weights[f"{own}.weight"], weights[f"{own}.bias"], 2, 1)

    standard = (view - torch.tensor([0.1, 0.2, 0.3, 0.4])) / torch.tensor([0.5, 0.6, 0.7, 0.8])
    joined = torch.cat([dense(classes, "of_class"), dense(standard, "of_view.0")], dim=1)
    maps = dense(dense(joined, "joined.0"), "joined.1").view(2, 8, 4, 6)
    pixels = deconvolution(deconvolution(maps, "upwards.0").relu(), "pixels")
    image, mask_logits = model(classes, view)
    assert image.shape == (2, 3, 16, 24) and mask_logits.shape == (2, 16, 24)
    torch.testing.assert_close(image, pixels[:, :3])
    torch.testing.assert_close(mask_logits, pixels[:, 3])


def test_a_class_speaks_as_loud_as_a_view_whatever_the_number_of_classes() -> None:
    torch.manual_seed(0)
    for num_classes in (3, 300):
        sizes: dict[str, Any] = {"num_classes": num_classes, "class_size": 500}
        model = ViewGenerator(**SMALL | sizes)
        heard = model.of_class(torch.eye(num_classes)).square().mean().item()
        assert heard == pytest.approx(1.0, abs=0.1)  # He et al.: the variance of what goes in


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_filters": ()}, "a list is empty"),
        ({"view_sizes": ()}, "a list is empty"),
        ({"class_size": 0}, "below 1"),
        ({"joined_sizes": (4, 0)}, "below 1"),
        (
            {"image_shape": (3, 16, 18)},
            "2 deconvolutions make sides that are multiples of 4, and the image has",
        ),
        ({"kernel_size": 3}, "kernel_size=3 is no multiple of 2"),
        ({"kernel_size": 0}, "kernel_size=0 is no multiple of 2"),
    ],
)
def test_what_cannot_be_built(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ViewGenerator(**SMALL | wrong)
