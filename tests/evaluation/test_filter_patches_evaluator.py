"""Patches: the right image, the right place."""

from pathlib import Path

import numpy
import pytest
import torch
from torch import nn

from modules.configuration.errors import UserError
from modules.evaluation.filter_patches_evaluator import FilterPatchesEvaluator, backbone_of
from modules.models.convolutional.fcn import FCN
from modules.models.features import FeatureInfo
from modules.tasks.segmentation import Segmentation
from tests.small_scenes import scene_plan, write_scenes

PLAN = scene_plan("fcn_8s")


class OneFilter(nn.Module):
    """A filter of 4x4 that likes what is bright."""

    feature_info = (FeatureInfo("bright", 1, 4),)

    def feature_maps(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"bright": nn.functional.avg_pool2d(images.mean(1, keepdim=True), 4)}


def test_the_brightest_place_of_the_brightest_images(tmp_path: Path) -> None:
    data = write_scenes(tmp_path, PLAN.data)
    task = Segmentation(OneFilter(), 4)
    (strips,) = FilterPatchesEvaluator(num_filters=3, num_patches=5).evaluate(task, data, PLAN).exhibits
    (strip,) = strips.strips  # pyright: ignore[reportAttributeAccessIssue]
    images = task.inputs({"image": torch.from_numpy(data.split("test").read(numpy.arange(12))["image"])})
    best = sorted((float(one.max()) for one in OneFilter().feature_maps(images)["bright"]), reverse=True)
    found = [float(patch.mean()) / 255 for patch in strip.images]
    assert found == pytest.approx(best[:5], abs=0.003)
    assert all(patch.shape == (64, 64, 3) for patch in strip.images)


def test_a_backbone_within_a_model() -> None:
    one = OneFilter()
    assert backbone_of(one) is one
    assert backbone_of(FCN(one, 3, 4)) is one
    assert backbone_of(nn.Identity()) is None


def test_a_model_without_maps_is_refused(tmp_path: Path) -> None:
    data = write_scenes(tmp_path, PLAN.data)
    with pytest.raises(UserError, match="Identity gives no maps"):
        FilterPatchesEvaluator().evaluate(Segmentation(nn.Identity(), 4), data, PLAN)
