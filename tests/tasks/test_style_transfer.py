"""Style transfer: the image alone learns, each pair of a batch counts alike, and targets are those of the
batch."""

import pytest
import torch
from torch import Tensor, nn

from modules.configuration.composition.compose import compose
from modules.generation.image_optimisation import style_losses, style_targets
from modules.models.convolutional.stylised_image import StylisedImage
from modules.tasks.style_transfer import StyleTransfer
from tests.plans import plan_of

WEIGHTS = {"content_weights": {"conv2_1": 0.5}, "style_weights": {"conv1_1": 1.0}, "variation_weight": 0.1}


def made() -> StyleTransfer:
    torch.manual_seed(0)
    return StyleTransfer(StylisedImage((3, 16, 16), last="conv2_1"), **WEIGHTS)


def pairs(count: int, seed: int = 1) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(0, 256, (2, count, 3, 16, 16), dtype=torch.uint8, generator=generator)
    return {"content": values[0], "style": values[1]}


def test_the_image_alone_learns() -> None:
    task = made()
    (step,) = task.steps()
    assert [parameter.shape for parameter in step.learned] == [(3, 16, 16)]
    task.loss(pairs(1)).quotient.backward()
    assert all(weight.grad is None for weight in task.model.backbone.parameters())
    assert task.model.image.grad is not None and task.model.image.grad.abs().sum() > 0


def test_the_loss_of_a_batch_is_the_mean_of_its_pairs() -> None:
    task, batch = made(), pairs(3)
    backbone, image = task.model.backbone, task.model()
    totals = []
    for number in range(3):
        one = {name: values[number : number + 1] / 255 for name, values in batch.items()}
        targets = style_targets(backbone, one["content"], one["style"], task.objective)
        totals.append(style_losses(backbone, image[None], targets, task.objective).total)
    torch.testing.assert_close(task.loss(batch).quotient, torch.stack(totals).mean())
    measured = task.validate(batch)
    content, style = (measured[f"validation/{name}_loss"].value for name in ("content", "style"))
    rough = task.losses(batch).variation.item()
    assert measured["validation/loss"].value == pytest.approx(content + style + rough)


def test_targets_are_remembered_and_never_another_batchs_or_other_weights() -> None:
    task, batch = made(), pairs(1)
    targets = task.targets(batch)
    assert task.targets({name: values.clone() for name, values in batch.items()}) is targets
    other = pairs(1, seed=2)
    fresh = made().loss(other).value
    assert task.loss(other).value == pytest.approx(fresh)
    batch["style"][:] = other["style"]  # in place
    batch["content"][:] = other["content"]
    assert task.loss(batch).value == pytest.approx(fresh)
    with torch.no_grad():
        for weight in task.model.backbone.parameters():
            weight.mul_(0.5)
    found = task.loss(batch).value
    again = made()
    again.load_state_dict(task.state_dict())
    assert found == pytest.approx(again.loss(batch).value) and found != pytest.approx(fresh)


def test_no_pixel_leaves_the_range_of_an_image() -> None:
    task = made()
    assert 0.01 < task.model().std() < 0.03 and abs(task.model().mean() - 0.5) < 0.01
    task.model.image.data[0, 0, 0], task.model.image.data[0, 0, 1] = -20.0, 20.0
    assert torch.equal(task.model()[0, 0, :2].round(), torch.tensor([0.0, 1.0]))
    assert task.model().min() > 0 and task.model().max() <= 1


def test_another_pair_is_an_optimisation_of_its_own() -> None:
    """Nothing is exported; a run alone can be asked, and answers the same each time."""
    assert StyleTransfer.serves is False
    task, batch = made(), pairs(2)
    task.num_evaluations = 30
    served = task.served(plan_of(compose(["recipe=style_optimised"])).data, {})
    assert not served.exported and [one.name for one in served.inputs] == ["content", "style"]
    arguments = task.served_inputs(batch)
    with torch.no_grad():
        images = served.module(*arguments)
    assert images.shape == (2, 3, 16, 16) and torch.equal(images, served.module(*arguments))
    for number, image in enumerate(images):
        one = {name: values[number : number + 1] for name, values in batch.items()}
        begun, ended = (
            task.losses(one, shown).total.item() for shown in (batch["content"][number] / 255, image)
        )
        assert ended < 0.75 * begun


@pytest.mark.parametrize(
    ("model", "layer", "said"),
    [
        (nn.Linear(2, 2), "conv1_1", "no image that learns"),
        (StylisedImage((3, 16, 16), last="conv1_1"), "conv1_2", "no maps 'conv1_2'"),
    ],
)
def test_what_cannot_be(model: nn.Module, layer: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        StyleTransfer(model, {layer: 1.0}, {layer: 1.0})
