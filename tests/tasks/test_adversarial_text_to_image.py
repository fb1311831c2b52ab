"""Two players of images from texts: losses by hand, who learns from what, and the regressor's error."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from modules.models.multimodal.text_image_generator import TextImageGenerator as Generator
from modules.models.multimodal.text_to_image_gan import TextToImageGAN
from modules.tasks.adversarial_text_to_image import AdversarialTextToImage
from modules.tasks.step import check_steps
from modules.tasks.text_to_image import TextToImage

BATCH = {
    "image": torch.full((2, 3, 16, 16), 255, dtype=torch.uint8),
    "caption": torch.tensor([[2, 5, 3, 0], [2, 6, 7, 3]]),
    "caption_length": torch.tensor([3, 4]),
}


def gan() -> TextToImageGAN:
    torch.manual_seed(0)
    return TextToImageGAN(9, (3, 16, 16), 8, 4, (8, 4), (4, 8), 4, 3).eval()


def nats(logit: float, label: float) -> float:
    share = 1 / (1 + math.exp(-logit))
    return -math.log(share if label else 1 - share)


def fixed(task: AdversarialTextToImage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Logits by the image's first level and the text's number: real 2 with its text, -1 with another; made
    0.5."""

    def judged(maps: Tensor, vectors: Tensor) -> Tensor:
        own = vectors[:, 0].tolist() == [0.0, 1.0]
        return torch.where(maps.flatten(1)[:, 0] > 0.99, 2.0 if own else -1.0, 0.5)

    discriminator: Any = task.model.discriminator
    monkeypatch.setattr(discriminator, "judged", judged)
    monkeypatch.setattr(discriminator, "forward", lambda images, *rest: torch.full((len(images),), 0.5))
    discriminator.convolutions = nn.Identity()
    monkeypatch.setattr(discriminator.text, "forward", lambda texts, length: torch.tensor([[0.0], [1.0]]))


def test_losses_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    task = AdversarialTextToImage(gan())
    fixed(task, monkeypatch)
    wanted = nats(2, 1) + (nats(-1, 0) + nats(0.5, 0)) / 2
    assert float(task.discriminator_loss(BATCH).quotient) == pytest.approx(wanted, rel=1e-5)
    assert float(task.loss(BATCH).quotient) == pytest.approx(nats(0.5, 1), rel=1e-5)
    found = {name: mean.value for name, mean in task.validate(BATCH).items()}
    assert found["validation/real_accuracy"] == 1.0
    assert found["validation/fooled"] == 1.0
    assert found["validation/energy_distance"] > 0


def test_each_player_learns_its_own_weights() -> None:
    model = gan()
    task = AdversarialTextToImage(model, interpolation=0.5)
    steps = task.steps()
    check_steps(model, steps)
    task.discriminator_loss(BATCH).quotient.backward()
    assert all(one.grad is None for one in model.generator.parameters())
    assert all(one.grad is not None for one in model.discriminator.parameters())
    grads = torch.autograd.grad(task.loss(BATCH).quotient, list(model.generator.parameters()))
    assert all(grad.abs().sum() > 0 for grad in grads)


def test_the_noise_of_validation_is_always_the_same() -> None:
    task = AdversarialTextToImage(gan())
    first, second = ({name: mean.value for name, mean in task.validate(BATCH).items()} for _ in range(2))
    assert first == second
    with torch.no_grad():
        assert float(task.loss(BATCH).quotient) != float(task.loss(BATCH).quotient)


def test_texts_between_others_have_a_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    task = AdversarialTextToImage(gan(), interpolation=0.5)
    fixed(task, monkeypatch)
    assert float(task.loss(BATCH).quotient) == pytest.approx(1.5 * nats(0.5, 1), rel=1e-5)


def test_the_regressors_error_is_a_pixels_mean() -> None:
    generator = Generator(9, (3, 16, 16), 8, 0, (8, 4), 4, 3).eval()
    with torch.no_grad():
        loss = TextToImage(generator).loss(BATCH)
        image = generator(BATCH["caption"], BATCH["caption_length"])
    assert float(loss.quotient) == pytest.approx(float((image - 1).square().mean()), rel=1e-5)


def test_what_has_no_players_is_refused() -> None:
    with pytest.raises(ValueError, match="no generator and discriminator"):
        AdversarialTextToImage(nn.Linear(1, 1))
    with pytest.raises(ValueError, match="negative"):
        AdversarialTextToImage(gan(), interpolation=-1)
    with pytest.raises(ValueError, match="generates no images of texts"):
        TextToImage(nn.Linear(1, 1))
