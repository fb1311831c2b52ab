"""Frames of clips: a vector for each, as if it were an image alone; padding counts nowhere."""

import pytest
import torch
from torch import Tensor

from modules.models.convolutional.resnet import ResNet
from modules.models.frame_features import FrameFeatures

CLIPS = torch.rand(3, 5, 3, 32, 32, generator=torch.Generator().manual_seed(0))
LENGTH = torch.tensor([5, 1, 3])


def frame_features(changes: str = "none") -> FrameFeatures:
    torch.manual_seed(0)
    backbone = ResNet((6 if changes == "pixels" else 3, 32, 32), None, 1, (4, 6), stem="large")
    return FrameFeatures(("frames", 3, 32, 32), backbone, 7, changes)  # pyright: ignore[reportArgumentType]


def cells(model: FrameFeatures, images: Tensor) -> Tensor:
    maps = model.backbone.feature_maps(images)["stage2"]
    return model.norm(maps.flatten(2).transpose(1, 2))


def test_a_frame_is_looked_at_as_an_image_is() -> None:
    model = frame_features().eval()
    found = model(CLIPS, LENGTH)
    assert found.shape == (3, 5, 7) and (found[1, 1:] == 0).all() and (found[2, 3:] == 0).all()
    torch.testing.assert_close(found[2, :3], model.output(cells(model, CLIPS[2, :3]).flatten(1)).relu())


def test_changes_are_differences_from_the_frame_before() -> None:
    model = frame_features("pixels").eval()
    found = model(CLIPS, LENGTH)
    before = torch.stack([CLIPS[2, 0], CLIPS[2, 0], CLIPS[2, 1]])
    seen = cells(model, torch.cat([CLIPS[2, :3], CLIPS[2, :3] - before], dim=1))
    torch.testing.assert_close(found[2, :3], model.output(seen.flatten(1)).relu())


def test_changes_of_maps_are_differences_of_what_the_backbone_found() -> None:
    model = frame_features("maps").eval()
    found = model(CLIPS, LENGTH)
    seen, before = cells(model, CLIPS[2, :3]), cells(model, CLIPS[2, [0, 0, 1]])
    torch.testing.assert_close(
        found[2, :3], model.output(torch.cat([seen, seen - before], dim=1).flatten(1)).relu()
    )
    assert (found[1, 1:] == 0).all()


@pytest.mark.parametrize("changes", ["none", "pixels", "maps"])
def test_padding_changes_neither_features_nor_gradients_nor_what_normalisation_remembers(
    changes: str,
) -> None:
    found = []
    for padding in (0.0, 0.7):
        clips = CLIPS.clone()
        clips[1, 1:], clips[2, 3:] = padding, padding
        model = frame_features(changes).train()
        features = model(clips, LENGTH)
        features.square().sum().backward()
        gradients = [parameter.grad for parameter in model.parameters()]
        found.append([features.detach(), *gradients, *model.buffers()])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_more_padding_changes_nothing() -> None:
    model = frame_features().train()
    long = torch.cat([CLIPS, torch.ones_like(CLIPS)], dim=1)
    torch.testing.assert_close(model(long, LENGTH)[:, :5], model(CLIPS, LENGTH), rtol=0, atol=0)


def test_without_values_the_shape_is_the_same() -> None:
    model = frame_features().to("meta")
    assert model(CLIPS.to("meta"), LENGTH.to("meta")).shape == (3, 5, 7)
