"""View generation: the loss by hand, decibels, and what is served."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from modules.models.convolutional.view_generator import ViewGenerator
from modules.registry.export import export_program
from modules.tasks.view_generation import ViewGeneration, psnr_db
from tests.tasks.data_of_batch import settings_of


def task(**keywords: object) -> ViewGeneration:
    torch.manual_seed(0)
    model = ViewGenerator(3, "view", 4, (3, 8, 8), 5, (6,), (7,), (8, 4), norm="none")
    return ViewGeneration(model, **keywords)  # type: ignore[arg-type]


@pytest.fixture
def batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "image": torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8, generator=generator),
        "mask": torch.randint(0, 2, (4, 8, 8), dtype=torch.uint8, generator=generator),
        "label": torch.tensor([2, 0, 1, 2]),
        "view": torch.randn(4, 4, generator=generator),
    }


def test_the_loss_is_the_weighted_squared_error_and_the_masks_nats(batch: dict[str, Tensor]) -> None:
    plain = task(image_weight=3.0)
    image, mask_logits = plain.model(torch.eye(3)[batch["label"]], batch["view"])
    share = mask_logits.sigmoid()
    nats = -torch.where(batch["mask"] > 0, share, 1 - share).log()
    error = (image - batch["image"] / 255).square().sum(1)
    expected = (3 * error + nats).mean((1, 2))
    loss = plain.loss(batch)
    assert loss.count == 4
    torch.testing.assert_close(loss.quotient, expected.mean())
    found = plain.validate(batch)
    assert found.keys() == plain.validation_metrics.keys()
    torch.testing.assert_close(found["validation/loss"].value, expected.mean().item())
    errors = (image.clamp(0, 1) - batch["image"] / 255).square().mean((1, 2, 3))
    decibels = sum(-10 * math.log10(error) for error in errors.tolist()) / 4
    assert found["validation/psnr_db"].value == pytest.approx(decibels, rel=1e-5)


def test_decibels_of_known_errors() -> None:
    truth = torch.full((3, 3, 2, 2), 0.5)
    image = truth + torch.tensor([0.1, -0.01, 0.0]).view(3, 1, 1, 1)
    assert psnr_db(image, truth).tolist() == pytest.approx([20.0, 40.0, 100.0], rel=1e-5)


def test_fields_have_the_names_that_the_configuration_gives(batch: dict[str, Tensor]) -> None:
    names = {"image": "photo", "mask": "shape", "label": "model", "view": "angles"}
    renamed = {names[name]: values for name, values in batch.items()}
    assert task(**names).loss(renamed).value == task().loss(batch).value


def test_what_is_served_is_an_image_and_a_mask(batch: dict[str, Tensor]) -> None:
    made = task()
    data = settings_of(batch)
    data.fields["mask"] = replace(data.fields["mask"], classes=["background", "object"])
    served = made.served(data, {})
    assert [(one.name, one.kind, one.shape) for one in served.inputs] == [
        ("label", "vector", (3,)),
        ("view", "vector", (4,)),
    ]
    assert [(one.name, one.kind, one.shape) for one in served.outputs] == [
        ("image", "image", (3, 8, 8)),
        ("mask", "mask", (8, 8)),
    ]
    program = export_program(served, made.served_inputs(batch)).module()
    mixture, view = torch.tensor([[0.5, 0.5, 0.0]]), batch["view"][:1]
    image, mask = program(mixture, view)
    pixels, logits = made.model(mixture, view)
    torch.testing.assert_close(image, pixels.clamp(0, 1))
    assert mask.dtype == torch.int64 and torch.equal(mask, (logits > 0).long())


def test_what_cannot_be() -> None:
    with pytest.raises(ValueError, match="image_weight=0 is not positive"):
        task(image_weight=0)
    with pytest.raises(ValueError, match="Linear generates no image"):
        ViewGeneration(nn.Linear(1, 1))
