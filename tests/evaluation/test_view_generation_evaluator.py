"""What an evaluation says of generated views: by sums of one image after another."""

import json
import math
import zipfile

import numpy as np
import pytest
import torch
from torch import Tensor

from modules.configuration.composition.compose import compose
from modules.configuration.errors import UserError
from modules.datamodules.shard_loader import EvaluationLoader
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.shard_writer import write_shards
from modules.evaluation.evaluator import evaluate
from modules.evaluation.exhibits import Animation, ImageStrips
from modules.evaluation.view_generation_evaluator import LearnedViews, intersection_over_union
from modules.tasks.build_task import build_task
from modules.tasks.view_generation import ViewGeneration
from tests.plans import plan_of

MODELS = {"flag": "own/flag.obj", "long flag": "own/long.obj"}


def small_config() -> dict:
    config = compose(
        ["recipe=view_generator", "data.fields.image.shape=[3,16,16]", "data.fields.mask.shape=[16,16]"]
    )
    config["data"]["reader"] |= {"libraries": "libraries", "azimuths": 6, "models": MODELS}
    config["data"]["fields"]["label"]["classes"] = list(MODELS)
    config["model"] |= {"num_classes": 2, "num_filters": [8, 4], "norm": "none"}
    return config


PLAN = plan_of(small_config())


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    raw, out = tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("data") / PLAN.data.name
    (raw / "libraries").mkdir()
    with zipfile.ZipFile(raw / "libraries/own.sh3f", "w") as library:
        library.writestr("PluginFurnitureCatalog.properties", "id=own\n")
        library.writestr("own/flag.obj", "v 0 0 0\nv 2 0 0\nv 2 4 0\nf 1 2 3\n")
        library.writestr("own/long.obj", "v 0 0 0\nv 4 0 0\nv 4 2 2\nf 1 2 3\n")
    source = {"name": "furniture", "sha256": PLAN.data.source["sha256"], "licence": "none", "files": {}}
    (raw / "source.json").write_text(json.dumps(source))
    write_shards(PLAN.data, raw, out)
    return ShardSet.open(out, PLAN.data)


@pytest.fixture
def task() -> ViewGeneration:
    torch.manual_seed(0)
    built = build_task(PLAN.model, PLAN.task)
    assert isinstance(built, ViewGeneration)
    return built.eval()


def whole(data: ShardSet, split: str) -> dict[str, Tensor]:
    (batch,) = EvaluationLoader(data.split(split), 1000)
    return batch


def decibels(one: Tensor, other: Tensor) -> float:
    return -10 * math.log10((one - other).double().square().mean().item())


def test_figures_are_those_of_each_image(task: ViewGeneration, data: ShardSet) -> None:
    train, test = whole(data, "train"), whole(data, "test")
    with torch.no_grad():
        images, logits = task.model(*task.inputs(test))
    images = images.clamp(0, 1)
    rows = []
    for number in range(len(images)):
        truth, mask = test["image"][number] / 255, test["mask"][number] > 0
        angles = [
            sum((a - b) ** 2 for a, b in zip(test["view"][number].tolist(), view.tolist(), strict=True))
            if label == test["label"][number]
            else math.inf
            for view, label in zip(train["view"], train["label"], strict=True)
        ]
        near = [place for place, angle in enumerate(angles) if angle < min(angles) + 1e-4]
        assert 1 <= len(near) <= 2  # at the other elevations, as azimuths are far apart
        between = torch.stack([train["image"][place] / 255 for place in near]).mean(0)
        covers = sum((train["mask"][place] > 0).double() for place in near) / len(near) >= 0.5
        own = logits[number] > 0
        rows.append(
            {
                "psnr_db": decibels(images[number], truth),
                "error": (images[number] - truth).double().square().mean().item(),
                "mask_iou": (own & mask).sum().item() / (own | mask).sum().item(),
                "neighbours_psnr_db": decibels(between, truth),
                "neighbours_mask_iou": (covers & mask).sum().item() / (covers | mask).sum().item(),
            }
        )
    expected = {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}
    expected["psnr_of_mean_error_db"] = -10 * math.log10(expected.pop("error"))
    expected["gain_db"] = expected["psnr_db"] - expected["neighbours_psnr_db"]
    found = evaluate(task, data, PLAN)
    assert found.metrics == pytest.approx(expected | {"num_samples": len(rows)}, rel=1e-5)
    (chart,) = found.charts
    points = [(row["neighbours_psnr_db"], row["psnr_db"]) for row in rows]
    assert np.array(chart.series[0].points) == pytest.approx(np.array(points), rel=1e-5)


def test_exhibits_are_truth_beside_what_is_generated_and_two_animations(
    task: ViewGeneration, data: ShardSet
) -> None:
    views, worst, turning, changing = evaluate(task, data, PLAN).exhibits
    assert isinstance(views, ImageStrips) and isinstance(worst, ImageStrips)
    assert [strip.label for strip in views.strips] == [
        "truth",
        "generated",
        "generated mask",
        "mean of the nearest views learned",
    ]
    assert [[image.shape for image in strip.images] for strip in views.strips] == [
        [(16, 16, 3)] * 8,
        [(16, 16, 3)] * 8,
        [(16, 16)] * 8,
        [(16, 16, 3)] * 8,
    ]
    assert views.columns[-1] == worst.columns[-1]  # the worst of all
    for moving in (turning, changing):
        assert isinstance(moving, Animation) and len(moving.frames) == 48
        assert moving.frames[0].shape == (2 + 2 * (32 + 2), 2 + 3 * (32 + 2), 3)
    azimuth = 2 * math.pi * 12 / 48
    height = math.radians(25)
    view = torch.tensor([[math.sin(azimuth), math.cos(azimuth), math.sin(height), math.cos(height)]])
    with torch.no_grad():
        image = task.model(torch.eye(2)[:1], view)[0][0].clamp(0, 1)
    assert isinstance(turning, Animation)
    shown = turning.frames[12][2:34:2, 2:34:2]
    assert np.abs(shown.transpose(2, 0, 1) - (image * 255).numpy()).max() < 0.51


def test_a_class_without_a_learned_view_is_refused(task: ViewGeneration, data: ShardSet) -> None:
    learned = LearnedViews(task, data.split("train"), 100)
    learned.classes = torch.zeros_like(learned.classes)
    with pytest.raises(UserError, match="no view of class 1"):
        learned.nearest(whole(data, "test"))


def test_intersection_over_union() -> None:
    one = torch.tensor([[[True, True, False]], [[False, False, False]], [[True, False, False]]])
    other = torch.tensor([[[False, True, True]], [[False, False, False]], [[False, False, True]]])
    assert intersection_over_union(one, other).tolist() == pytest.approx([1 / 3, 1.0, 0.0])
