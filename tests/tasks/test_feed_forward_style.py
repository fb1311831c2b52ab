"""Style transfer in one pass: the net alone learns, from the losses of the painting that it is told; what is
served takes any size."""

import pytest
import torch
from torch import Tensor, nn

from modules.bricks.random_crop import RandomCrop
from modules.configuration.composition.compose import compose
from modules.generation.image_optimisation import style_losses, style_targets
from modules.models.convolutional.image_transformation import ImageTransformation
from modules.registry.export import export_program
from modules.tasks.feed_forward_style import FeedForwardStyle
from tests.plans import plan_of

WEIGHTS = {"content_weights": {"conv2_1": 0.5}, "style_weights": {"conv1_1": 1.0}, "variation_weight": 0.1}


def made(augmentation: nn.Module | None = None) -> FeedForwardStyle:
    torch.manual_seed(0)
    model = ImageTransformation((4, 8), 1, last="conv2_1")
    return FeedForwardStyle(model, **WEIGHTS, augmentation=augmentation)


def images(count: int, seed: int, *size_px: int) -> dict[str, Tensor]:
    shape = (count, 3, *(size_px or (16, 16)))
    generator = torch.Generator().manual_seed(seed)
    return {"content": torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)}


def test_the_loss_is_that_of_each_image_and_the_painting() -> None:
    task, batch, painting = made(), images(3, 1), images(1, 2, 20, 24)
    task.know(painting)
    photographs, style = batch["content"] / 255, painting["content"] / 255
    totals = []
    for photograph in photographs:
        targets = style_targets(task.model.backbone, photograph[None], style, task.objective)
        totals.append(
            style_losses(task.model.backbone, task.model(photograph[None]), targets, task.objective).total
        )
    loss = task.loss(batch)
    torch.testing.assert_close(loss.quotient, torch.cat(totals).mean())
    assert task.validate(batch)["validation/loss"].value == pytest.approx(loss.value)
    loss.quotient.backward()
    assert all(weight.grad is None for weight in task.model.backbone.parameters())
    assert all(weight.grad is not None for weight in task.model.network.parameters())


def test_of_several_paintings_the_style_is_the_mean() -> None:
    task, several = made(), images(2, 2)
    grams = []
    for number in range(2):
        task.know({"content": several["content"][number : number + 1]})
        grams.append(task.styles()["conv1_1"])
    task.know(several)
    torch.testing.assert_close(task.styles()["conv1_1"], torch.stack(grams).mean(0))


def test_the_painting_is_looked_at_once_and_again_with_other_weights() -> None:
    task = made()
    task.know(images(1, 2))
    with torch.inference_mode():
        styles = task.styles()
    assert task.styles() is styles
    task.loss(images(2, 1)).quotient.backward()
    with torch.no_grad():
        next(task.model.backbone.parameters()).mul_(0.5)
    assert not torch.equal(task.styles()["conv1_1"], styles["conv1_1"])


def test_neither_weights_nor_checkpoints_hold_the_painting() -> None:
    task = made()
    task.know(images(1, 2))
    assert not [name for name in task.state_dict() if "painting" in name]


def test_photographs_are_augmented_in_training_alone() -> None:
    task, batch = made(RandomCrop(12, 8)), images(2, 1)
    shown: list[Tensor] = []
    task.model.register_forward_pre_hook(lambda _, given: shown.append(given[0]))
    task.train().loss(batch)
    task.eval().loss(batch)
    assert [tuple(one.shape) for one in shown] == [(2, 3, 12, 8), (2, 3, 16, 16)]


def test_what_is_exported_takes_any_size_and_leaves_out_what_looks() -> None:
    task = made().eval()
    served = task.served(plan_of(compose(["recipe=style_one_pass"])).data, {})
    program = export_program(served, task.served_inputs(images(2, 1)))
    assert not [name for name in program.state_dict if "backbone" in name]
    run = program.module()
    for count, height, width in ((1, 37, 53), (3, 24, 9), (1, 16, 16)):
        photographs = torch.rand(count, 3, height, width)
        found = run(photographs, torch.tensor([[height, width]] * count))
        torch.testing.assert_close(found, task.model(photographs))


@pytest.mark.parametrize(
    ("model", "layer", "said"),
    [
        (nn.Linear(2, 2), "conv1_1", "no net that transforms images"),
        (ImageTransformation((4,), 0, last="conv1_1"), "conv1_2", "no maps 'conv1_2'"),
    ],
)
def test_what_cannot_be(model: nn.Module, layer: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        FeedForwardStyle(model, {layer: 1.0}, {layer: 1.0})
