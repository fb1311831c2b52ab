"""Generators of images from texts, and a discriminator: sizes, noise, and what depends on what."""

import pytest
import torch

from modules.models.multimodal.text_image_generator import TextImageGenerator
from modules.models.multimodal.text_to_image_gan import TextToImageGAN

TEXTS, LENGTH = torch.tensor([[2, 5, 3, 0], [2, 6, 7, 3]]), torch.tensor([3, 4])


def test_noise_tells_images_of_one_text_apart() -> None:
    torch.manual_seed(0)
    model = TextImageGenerator(9, (3, 16, 16), 8, 4, (8, 4), 4, 3).eval()
    noise = torch.randn(2, 4)
    image = model(TEXTS, LENGTH, noise)
    assert image.shape == (2, 3, 16, 16)
    assert image.min() >= 0 and image.max() <= 1
    torch.testing.assert_close(model(TEXTS, LENGTH), model(TEXTS, LENGTH, torch.zeros(2, 4)))
    assert not torch.allclose(model(TEXTS, LENGTH, noise), model(TEXTS, LENGTH))
    torch.testing.assert_close(model.of_vectors(model.text(TEXTS, LENGTH), noise), image)
    alone = TextImageGenerator(9, (3, 16, 16), 8, 0, (8, 4), 4, 3).eval()
    torch.testing.assert_close(alone(TEXTS, LENGTH, torch.zeros(2, 0)), alone(TEXTS, LENGTH))


def test_padding_of_a_text_counts_nowhere() -> None:
    torch.manual_seed(0)
    model = TextToImageGAN(9, (3, 16, 16), 8, 4, (8, 4), (4, 8), 4, 3).eval()
    longer = torch.cat([TEXTS, torch.zeros(2, 3, dtype=torch.int64)], 1)
    for one, other in zip(model(TEXTS, LENGTH), model(longer, LENGTH), strict=True):
        torch.testing.assert_close(one, other)


def test_the_discriminator_looks_at_image_and_text() -> None:
    torch.manual_seed(0)
    judge = TextToImageGAN(9, (3, 16, 16), 8, 4, (8, 4), (4, 8), 4, 3).eval().discriminator
    images = torch.rand(2, 3, 16, 16)
    logits = judge(images, TEXTS, LENGTH)
    assert logits.shape == (2,)
    assert not torch.allclose(judge(images.flip(0), TEXTS, LENGTH), logits)
    assert not torch.allclose(judge(images, TEXTS.flip(0), LENGTH.flip(0)), logits)


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="multiples of 8"):
        TextImageGenerator(9, (3, 12, 12), num_filters=(8, 4, 2))
    with pytest.raises(ValueError, match="end at 4x4 cells of 32x32 pixels"):
        TextToImageGAN(9, (3, 16, 16))
    with pytest.raises(ValueError, match="noise"):
        TextToImageGAN(9, (3, 32, 32), noise_size=0)
