"""What an evaluation says of an image that was made."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from modules.datamodules.shard_set import ShardSet
from modules.datamodules.shard_writer import write_shards
from modules.evaluation.evaluator import evaluate
from modules.evaluation.exhibits import ImageStrips
from modules.evaluation.style_transfer_evaluator import StyleTransferEvaluator
from modules.models.convolutional.stylised_image import white_noise
from modules.tasks.build_task import build_task
from modules.tasks.style_transfer import StyleTransfer
from tests.plans import composed_plan

PLAN = composed_plan(
    "recipe=style_optimised",
    "init_from=null",
    "fine_tuning.adapter=null",
    "data.fields.content.shape=[3,24,32]",
    "data.fields.style.shape=[3,32,32]",
    "data.reader.files={content: content.png, style: style.png}",
    "evaluation.0.course_px=16",
    "evaluation.0.course_evaluations=8",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    raw, out = tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("data") / PLAN.data.name
    generator = np.random.default_rng(0)
    for name, shape in (("content", (24, 32, 3)), ("style", (32, 32, 3))):
        Image.fromarray(generator.integers(0, 256, shape, dtype=np.uint8)).save(raw / f"{name}.png")
    sha256 = PLAN.data.source["sha256"]
    source = {"name": "opencv_samples", "sha256": sha256, "licence": "none", "files": {}}
    (raw / "source.json").write_text(json.dumps(source))
    write_shards(PLAN.data, raw, out)
    return ShardSet.open(out, PLAN.data)


@pytest.fixture
def task() -> StyleTransfer:
    torch.manual_seed(0)
    built = build_task(PLAN.model, PLAN.task)
    assert isinstance(built, StyleTransfer)
    return built


def test_ratios_are_of_noise_and_of_the_photograph(task: StyleTransfer, data: ShardSet) -> None:
    sample = data.split("test").read(np.arange(1))
    batch = {name: torch.from_numpy(values) for name, values in sample.items()}
    content, style = (batch[name][0] / 255 for name in ("content", "style"))
    task.model.image.data = (0.8 * content + 0.1 * style[:, :24] + 0.05).logit()
    found = evaluate(task, data, PLAN)
    shown = (task.model().detach() * 255).round() / 255
    noise = white_noise((3, 24, 32), torch.Generator().manual_seed(PLAN.seed + 1)).sigmoid()
    with torch.no_grad():
        own, of_noise, of_content = (task.losses(batch, one).style.item() for one in (shown, noise, content))
        content_loss = task.losses(batch, shown).content.item()
    assert found.metrics == pytest.approx(
        {
            "style_loss": own,
            "content_loss": content_loss,
            "style_loss_ratio": of_noise / own,
            "style_loss_ratio_photograph": of_content / own,
            "num_samples": 1,
        }
    )
    first, course = found.exhibits
    assert isinstance(first, ImageStrips) and first.columns == ["content", "style", "result"]
    images = first.strips[0].images
    assert (images[0] == sample["content"][0].transpose(1, 2, 0)).all()
    assert (images[2] == (shown * 255).round().numpy().transpose(1, 2, 0)).all()
    assert isinstance(course, ImageStrips)
    assert course.columns == [*(f"evaluation {step}" for step in (0, 2, 4)), "the last"]
    assert [image.shape for image in course.strips[0].images] == [(16, 16, 3)] * 4
    (chart,) = found.charts
    assert [one.name for one in chart.series] == ["content", "style"]
    style_losses = [loss for _, loss in chart.series[1].points]
    assert len(style_losses) >= 8 and min(style_losses) < 0.5 * style_losses[0]


def test_what_cannot_be() -> None:
    for refused in ({"course_px": 15}, {"course_evaluations": 0}):
        with pytest.raises(ValueError, match="below"):
            StyleTransferEvaluator(**refused)
