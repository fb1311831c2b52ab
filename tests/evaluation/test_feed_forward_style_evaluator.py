"""What an evaluation says of images made in one pass; training tells the task its painting."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from modules.configuration.errors import UserError
from modules.datamodules.shard_loader import EvaluationLoader
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.shard_writer import write_shards
from modules.evaluation.evaluator import evaluate
from modules.evaluation.exhibits import ImageStrips
from modules.evaluation.feed_forward_style_evaluator import FeedForwardStyleEvaluator
from modules.tasks.feed_forward_style import FeedForwardStyle
from modules.training.fit import initial_task
from tests.plans import composed_plan

SPLITS = ("train", "validation", "test", "paintings")
PLAN = composed_plan(
    "recipe=style_one_pass",
    "init_from=null",
    "fine_tuning.adapter=null",
    "model.num_filters=[4,8]",
    "model.num_blocks=1",
    "model.last=conv2_1",
    "task.content_weights=null",
    "+task.content_weights={conv2_1: 1.0e-5}",
    "task.style_weights=null",
    "+task.style_weights={conv1_1: 1.0e-3}",
    "data.fields.content.shape=[3,24,24]",
    f"data.reader.files={{{', '.join(f'{split}: [{split}.png]' for split in SPLITS)}}}",
    "data.reader.num_crops={train: 2, validation: 1, test: 3, paintings: 2}",
    "evaluation.0.size_px=16",
    "evaluation.0.num_optimised=2",
    "evaluation.0.num_evaluations=5",
)


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    raw, storage = tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("storage")
    generator = np.random.default_rng(0)
    for split in SPLITS:
        Image.fromarray(generator.integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(raw / f"{split}.png")
    source = {name: value for name, value in PLAN.data.source.items() if name != "_target_"}
    about = source | {"sha256": "0" * 64, "licence": "none", "files": {}}
    (raw / "source.json").write_text(json.dumps(about))
    write_shards(PLAN.data, raw, storage / "data" / "shards" / PLAN.data.name)
    return storage


@pytest.fixture
def data(storage: Path) -> ShardSet:
    return ShardSet.open(storage / "data" / "shards" / PLAN.data.name, PLAN.data)


@pytest.fixture
def task(storage: Path) -> FeedForwardStyle:
    plan = replace(PLAN, runtime=replace(PLAN.runtime, storage=str(storage)))
    built = initial_task(plan)
    assert isinstance(built, FeedForwardStyle)
    return built.eval()


def test_training_knows_the_painting_of_the_shards(task: FeedForwardStyle, data: ShardSet) -> None:
    paintings = torch.from_numpy(data.split("paintings").read(np.arange(2))["content"])
    assert torch.equal(task.painting, paintings)


def test_losses_are_of_the_middles_of_the_test_photographs(task: FeedForwardStyle, data: ShardSet) -> None:
    found = evaluate(task, data, PLAN)
    (batch,) = EvaluationLoader(data.split("test"), 3)
    middles = batch["content"][:, :, 4:20, 4:20] / 255
    with torch.no_grad():
        own = task.losses((task.model(middles) * 255).round() / 255, middles)
        itself = task.losses(middles, middles)
        others = task.losses((task.model(middles.roll(1, 0)) * 255).round() / 255, middles)
    loss = own.total.mean().item()
    expected = {
        "loss": loss,
        "content_loss": own.content.mean().item(),
        "style_loss": own.style.mean().item(),
        "content_ratio_other": others.content.mean().item() / own.content.mean().item(),
        "loss_ratio_photograph": itself.total.mean().item() / loss,
        "num_samples": 3,
    }
    assert {name: found.metrics[name] for name in expected} == pytest.approx(expected)
    assert found.metrics["speed_ratio"] > 1 and found.metrics["loss_ratio_optimised"] > 0
    beside, larger = found.exhibits
    assert isinstance(beside, ImageStrips) and isinstance(larger, ImageStrips)
    assert beside.columns == ["photograph", "one pass", "optimised"]
    assert [[image.shape for image in strip.images] for strip in beside.strips] == [[(16, 16, 3)] * 3] * 2
    photograph = batch["content"][1, :, 4:20, 4:20].permute(1, 2, 0).numpy()
    assert (beside.strips[1].images[0] == photograph).all()
    (strip,) = larger.strips
    assert [image.shape for image in strip.images] == [(383, 287, 3), (383, 287, 3), (24, 24, 3)]


def test_the_optimised_images_are_better_than_the_photographs(task: FeedForwardStyle, data: ShardSet) -> None:
    """An untrained net's are worse than those: the ratio is below 1."""
    node = FeedForwardStyleEvaluator(size_px=16, num_optimised=2, num_evaluations=30)
    found = node.evaluate(task, data, PLAN)
    assert found.metrics["loss_ratio_optimised"] < 0.9
    assert 1 <= found.metrics["equal_evaluations"] < 30


def test_what_cannot_be(task: FeedForwardStyle, data: ShardSet) -> None:
    for refused in ({"size_px": 15}, {"num_optimised": 0}, {"num_evaluations": 0}):
        with pytest.raises(ValueError, match="below"):
            FeedForwardStyleEvaluator(**refused)
    with pytest.raises(UserError, match="24x24, smaller than size_px=32"):
        FeedForwardStyleEvaluator(size_px=32).evaluate(task, data, PLAN)
