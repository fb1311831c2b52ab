"""Detection: the loss by hand, padding, augmentation, what is refused."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from modules.bricks.boxes import encode_boxes
from modules.bricks.horizontal_flip import RandomHorizontalFlip
from modules.configuration.errors import UserError
from modules.models.convolutional.resnet import ResNet
from modules.models.convolutional.ssd import SSD
from modules.tasks.box_matching import hard_negatives, match
from modules.tasks.detection import Detection
from tests.small_scenes import KnowsBoxes, scene_plan


def detector(sizes: tuple[float, ...] = (8.0, 16.0, 32.0)) -> SSD:
    torch.manual_seed(0)
    backbone = ResNet((3, 32, 32), None, num_blocks=(1, 1), num_filters=(4, 6), stem="large")
    return SSD(backbone, 3, sizes_px=sizes, num_filters=8).eval()


@pytest.fixture
def batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    boxes = torch.tensor([[[2.0, 3, 12, 14], [16, 8, 30, 28]], [[5, 5, 13, 12], [0, 0, 0, 0]], [[0] * 4] * 2])
    return {
        "image": torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8, generator=generator),
        "boxes": boxes,
        "boxes_length": torch.tensor([2, 1, 0]),
        "labels": torch.tensor([[2, 0], [1, 0], [0, 0]]),
    }


def test_the_loss_is_that_of_the_paper(batch: dict[str, Tensor]) -> None:
    model = detector()
    found = model(batch["image"].float() / 255)
    matched, _ = match(batch["boxes"], batch["boxes_length"], found.default_boxes)
    classes = places = torch.zeros(())
    for row in range(3):
        targets = torch.tensor(
            [0 if m < 0 else int(batch["labels"][row, m]) + 1 for m in matched[row].tolist()]
        )
        losses = functional.cross_entropy(found.logits[row], targets, reduction="none")
        positive = matched[row] >= 0
        chosen = positive | hard_negatives(losses[None], positive[None])[0]
        classes = classes + losses[chosen].sum()
        for place in positive.nonzero()[:, 0].tolist():
            box = batch["boxes"][row, matched[row, place]][None]
            wanted = encode_boxes(box, found.default_boxes[place][None])[0]
            places = places + functional.smooth_l1_loss(found.offsets[row, place], wanted, reduction="sum")
    loss = Detection(model, 3).eval().loss(batch)
    assert loss.count == int((matched >= 0).sum())
    torch.testing.assert_close(loss.total, classes + places)


def test_padding_may_lie_anywhere(batch: dict[str, Tensor]) -> None:
    model = detector()
    expected = Detection(model, 3).eval().loss(batch).total
    moved = batch | {"boxes": batch["boxes"].flip(1), "labels": batch["labels"].flip(1)}
    torch.testing.assert_close(Detection(model, 3).eval().loss(moved).total, expected)


def test_a_batch_without_objects(batch: dict[str, Tensor]) -> None:
    empty = {"image": batch["image"], "boxes": torch.zeros(3, 1, 4), "boxes_length": torch.zeros(3).long()}
    model = detector()
    loss = Detection(model, 3).eval().loss(empty | {"labels": torch.zeros(3, 1).long()})
    assert loss.count == 1 and loss.total.isfinite()
    loss.total.backward()
    assert all(one.grad.isfinite().all() for one in model.parameters() if one.grad is not None)


def test_augmentation_moves_images_and_boxes_in_training_alone(batch: dict[str, Tensor]) -> None:
    model = detector()
    task = Detection(model, 3, RandomHorizontalFlip(1.0))
    task.train()
    model.eval()
    left, top, right, bottom = batch["boxes"].unbind(-1)
    there = (right > left)[..., None]
    boxes = torch.where(there, torch.stack([32 - right, top, 32 - left, bottom], -1), batch["boxes"])
    flipped = batch | {"image": batch["image"].flip(-1), "boxes": boxes}
    torch.testing.assert_close(task.loss(batch).total, Detection(model, 3).eval().loss(flipped).total)


def test_default_boxes_that_are_like_no_object_are_refused(batch: dict[str, Tensor]) -> None:
    task = Detection(detector((200.0, 300.0, 400.0)), 3)
    with pytest.raises(UserError, match=r"no default box overlaps .* about 10x11 pixels") as caught:
        task.loss(batch)
    assert "model.sizes_px" in str(caught.value)


def test_a_model_without_default_boxes_is_refused() -> None:
    with pytest.raises(ValueError, match="no detector"):
        Detection(nn.Identity(), 3)


def test_served_are_shares_of_width_and_height() -> None:
    served = Detection(KnowsBoxes(), 3, min_score=0.5).eval().served(scene_plan("ssd").data, {})
    (answer,) = served.outputs
    assert (answer.kind, answer.classes) == ("boxes", ("a", "b", "c"))
    image = torch.zeros(1, 3, 32, 32)
    image[:, :, 4:12, 8:24] = 120 / 255
    best = served.module(image)[0, 0]
    assert best[:4].tolist() == pytest.approx([0.25, 0.125, 0.75, 0.375], abs=1e-5)
    assert best[4] > 0.9 and best[5] == 1


def test_a_detector_of_other_classes_is_refused() -> None:
    with pytest.raises(ValueError, match="names 3 classes, the boxes 4"):
        Detection(detector(), 4)
