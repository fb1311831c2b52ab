"""Segmentation: what goes in, what comes out, what is measured."""

import pytest
import torch
from torch import Tensor, nn

from modules.bricks.horizontal_flip import RandomHorizontalFlip
from modules.configuration.errors import UserError
from modules.tasks.segmentation import Segmentation
from tests.small_scenes import KnowsMasks, scene_plan


@pytest.fixture
def batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "image": torch.randint(0, 256, (3, 3, 6, 8), dtype=torch.uint8, generator=generator),
        "mask": torch.randint(0, 4, (3, 6, 8), dtype=torch.uint8, generator=generator),
    }


def task(**keywords: object) -> Segmentation:
    torch.manual_seed(0)
    return Segmentation(nn.Conv2d(3, 4, 1), 4, **keywords)  # type: ignore[arg-type]


def test_the_loss_is_the_cross_entropy_of_a_pixel(batch: dict[str, Tensor]) -> None:
    chances = task().logits(batch).log_softmax(1)
    loss = task().loss(batch)
    picked = chances.gather(1, batch["mask"].long()[:, None])
    torch.testing.assert_close(loss.quotient, -picked.mean())
    assert loss.count == 3 * 6 * 8


def test_padding_of_smaller_images_does_not_count(batch: dict[str, Tensor]) -> None:
    batch["mask_length"] = torch.tensor([[6, 8], [2, 3], [1, 8]])
    inside = task().keep(batch)
    assert inside is not None and inside.sum(dim=(1, 2)).tolist() == [48, 6, 8]
    assert bool(inside[1, 1, 2]) and not inside[1, 2, 2] and not inside[1, 1, 3]
    picked = task().logits(batch).log_softmax(1).gather(1, batch["mask"].long()[:, None])[:, 0]
    torch.testing.assert_close(task().loss(batch).quotient, -picked[inside].mean())


def test_augmentation_moves_images_and_masks_in_training_alone(batch: dict[str, Tensor]) -> None:
    flipping = task(augmentation=RandomHorizontalFlip(1.0))
    flipped = {name: values.flip(-1) for name, values in batch.items()}
    torch.testing.assert_close(flipping.loss(batch).total, task().loss(flipped).total)
    flipping.eval()
    assert flipping.loss(batch).total == task().loss(batch).total


def test_a_mask_of_another_size_is_refused(batch: dict[str, Tensor]) -> None:
    batch["mask"] = batch["mask"][:, :5]
    with pytest.raises(UserError, match=r"the masks are \[5, 8\], and the model answers \[6, 8\]"):
        task().loss(batch)


def test_served_is_the_class_of_each_pixel(batch: dict[str, Tensor]) -> None:
    served = Segmentation(KnowsMasks(), 4).served(scene_plan("fcn_8s").data, {})
    (given,), (answer,) = served.inputs, served.outputs
    assert (given.kind, given.shape) == ("image", (3, 32, 32))
    assert (answer.kind, answer.shape, answer.classes) == ("mask", (32, 32), ("ground", "a", "b", "c"))
    image = torch.full((1, 3, 32, 32), 120 / 255)
    assert (served.module(image) == 2).all()


def test_a_net_of_other_classes_is_refused(batch: dict[str, Tensor]) -> None:
    with pytest.raises(UserError, match=r"names 4 classes, the masks 5\. Set model.num_classes=5"):
        Segmentation(nn.Conv2d(3, 4, 1), 5).loss(batch)
