"""Every backbone under conf/model and conf/backbone, found by glob: its maps are what it says of them."""

import re
from typing import Any

import pytest
import torch
from torch import nn

from modules.configuration.composition.compose import compose
from modules.configuration.static_analysis.definitions import ROOT
from modules.configuration.static_analysis.targets import build
from modules.models.features import Backbone, maps_after

MODELS = sorted(
    path.relative_to(ROOT / "conf" / "model").with_suffix("").as_posix()
    for path in (ROOT / "conf" / "model").rglob("*.yaml")
    if not re.search(r"data\.fields\.(?!(image|label)\b)", path.read_text())  # those of images
)
ALONE = [f"backbone/{path.stem}" for path in sorted((ROOT / "conf" / "backbone").glob("*.yaml"))]
SHAPES = ["data.fields.image.shape=[1,32,32]", "data.fields.mask.shape=[32,32]"]
SIDES = (96, 160)  # both are multiples of 32, and so is what lies between them


def built(name: str) -> Any:
    torch.manual_seed(0)
    if name in ALONE:
        backbone = f"backbone@model.backbone={name.removeprefix('backbone/')}"
        overrides = ["recipe=fcn_32s", backbone, *SHAPES]
        return build(compose(overrides)["model"]["backbone"]).eval()
    return build(compose([f"model={name}", "data=fashion_mnist", SHAPES[0]])["model"]).eval()


def computes_maps(model: Any) -> bool:
    """Maps that were computed before go through as they are."""
    return (
        isinstance(model, Backbone) and isinstance(model, nn.Module) and any(True for _ in model.parameters())
    )


BACKBONES = [name for name in [*MODELS, *ALONE] if computes_maps(built(name))]


def test_there_are_some() -> None:
    assert len(BACKBONES) >= 3


@pytest.mark.parametrize("name", BACKBONES)
@torch.no_grad()
def test_names_channels_and_strides_are_those_of_the_maps(name: str) -> None:
    model = built(name)
    smaller, larger = (model.feature_maps(torch.rand(2, 1, side, side + 32)) for side in SIDES)
    assert list(smaller) == list(larger) == [info.name for info in model.feature_info]
    strides = [info.stride for info in model.feature_info]
    assert strides == sorted(set(strides))
    for info in model.feature_info:
        small, large = smaller[info.name], larger[info.name]
        assert small.shape[:2] == large.shape[:2] == (2, info.num_channels)
        growth = (SIDES[1] - SIDES[0]) // info.stride
        assert [after - before for before, after in zip(small.shape[2:], large.shape[2:], strict=True)] == [
            growth,
            growth,
        ]
        assert abs(small.shape[2] - SIDES[0] / info.stride) <= 4  # what windows without padding leave out


@pytest.mark.parametrize("name", BACKBONES)
def test_the_forward_pass_goes_through_the_maps(name: str) -> None:
    model = built(name)
    images = torch.rand(2, 1, 32, 32)
    maps = model.feature_maps(images)
    gradients = torch.autograd.grad(model(images).sum(), model.features.parameters(), allow_unused=True)
    assert all(gradient is not None for gradient in gradients)
    assert all(map_.isfinite().all() for map_ in maps.values())


def test_layers_above_the_last_map_do_not_run() -> None:
    layers = [nn.Identity(), nn.AvgPool2d(2), nn.Linear(1, 1)]
    maps = maps_after(layers, {0: "all", 1: "half"}, torch.ones(1, 1, 4, 6))
    assert {name: tuple(found.shape) for name, found in maps.items()} == {
        "all": (1, 1, 4, 6),
        "half": (1, 1, 2, 3),
    }
