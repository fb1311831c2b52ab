"""Reconstruction: what it costs to reconstruct an image, and what is served."""

import pytest
import torch
from torch import Tensor, nn

from modules.bricks.noise import MaskingNoise
from modules.configuration.errors import UserError
from modules.models.feedforward.autoencoder import Autoencoder
from modules.tasks.reconstruction import Reconstruction
from tests.tasks.data_of_batch import settings_of


class Half(nn.Module):
    """Noise that is easy to see."""

    def forward(self, images: Tensor) -> Tensor:
        return images / 2


def task(**keywords: object) -> Reconstruction:
    torch.manual_seed(0)
    return Reconstruction(Autoencoder((1, 4, 4), 3, [8]), **keywords)  # type: ignore[arg-type]


@pytest.fixture
def batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (6, 1, 4, 4), dtype=torch.uint8, generator=generator)
    return {"image": image, "label": torch.arange(6)}


def test_cross_entropy_is_that_of_each_pixel_summed_over_the_image(batch: dict[str, Tensor]) -> None:
    plain = task()
    pixels, white = plain.inputs(batch), plain.model(plain.inputs(batch)).sigmoid()
    nats = -(pixels * white.log() + (1 - pixels) * (1 - white).log())
    torch.testing.assert_close(plain.loss(batch).quotient, nats.sum((1, 2, 3)).mean())
    torch.testing.assert_close(plain.reconstruct(pixels), white)


def test_squared_error_is_of_the_reconstructed_pixels(batch: dict[str, Tensor]) -> None:
    plain = task(error="squared_error")
    pixels, reconstructed = plain.inputs(batch), plain.model(plain.inputs(batch))
    torch.testing.assert_close(
        plain.loss(batch).quotient, (pixels - reconstructed).square().sum((1, 2, 3)).mean()
    )
    assert torch.equal(plain.reconstruct(pixels), reconstructed)


def test_noise_is_encoded_in_training_only_and_the_clean_image_is_wanted(batch: dict[str, Tensor]) -> None:
    noisy, plain = task(noise=Half(), error="squared_error"), task(error="squared_error")
    pixels = plain.inputs(batch)
    expected = (pixels - plain.model(pixels / 2)).square().sum((1, 2, 3)).mean()
    torch.testing.assert_close(noisy.loss(batch).quotient, expected)
    noisy.eval()
    assert torch.equal(noisy.loss(batch).quotient, plain.loss(batch).quotient)


def test_noise_is_sampled_for_each_batch(batch: dict[str, Tensor]) -> None:
    noisy = task(noise=MaskingNoise(0.5))
    assert noisy.loss(batch).quotient != noisy.loss(batch).quotient


def test_cross_entropy_takes_what_lies_in_0_to_1(batch: dict[str, Tensor]) -> None:
    kelvin = {"image": batch["image"] * 2.5}
    with pytest.raises(UserError, match=r"holds .*; probabilities need 0\.\.1") as refused:
        task().loss(kelvin)
    assert refused.value.hint == "Scale the field to 0..1, or set task.error=squared_error"
    assert task(error="squared_error").loss(kelvin).quotient.isfinite()
    assert torch.equal(task().loss({"image": batch["image"] / 255}).quotient, task().loss(batch).quotient)


def test_codes_are_served_and_named(batch: dict[str, Tensor]) -> None:
    plain = task(preprocessing=Half())
    inputs = plain.inputs(batch)
    assert torch.equal(inputs, batch["image"] / 255 / 2)
    served = plain.served(settings_of(batch), {})
    assert torch.equal(served.module(inputs), plain.model.encode(inputs))  # type: ignore[operator]
    assert served.outputs[0].classes == ("code 0", "code 1", "code 2")


def test_a_model_that_cannot_decode_is_refused() -> None:
    with pytest.raises(ValueError, match="Linear cannot decode"):
        Reconstruction(nn.Linear(3, 3))
