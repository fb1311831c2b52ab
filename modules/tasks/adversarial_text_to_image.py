"""Text to image by two players: images are to look real, and to belong to their texts.

Reed et al. (2016), arXiv 1605.05396, algorithm 1, matching-aware (GAN-CLS): the discriminator D is shown a
real image with its text, a real image with another text, and a generated one; the last two are wrong alike.

    L_D = -log D(x, t) - (log(1 - D(x, t')) + log(1 - D(G(z, t), t))) / 2
    L_G = -log D(G(z, t), t)

With `interpolation` the generator also learns from texts that nobody wrote, half-way between two of a batch
(section 4.3, equation 5, beta = 1/2).
"""

from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from modules.metrics.energy_distance import energy_distance
from modules.metrics.mean import Mean
from modules.models.multimodal.text_image_generator import TextImageGenerator as Generator
from modules.models.multimodal.text_to_image_gan import TextToImageGAN
from modules.tasks.image_inputs import image_inputs
from modules.tasks.served import Served
from modules.tasks.step import Step
from modules.tasks.task import Task
from modules.tasks.text_to_image import image_of_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modules.configuration.schema.data_settings import DataSettings
    from modules.datamodules.vocabulary import Vocabulary


class AdversarialTextToImage(Task):
    """Generator and discriminator learn against each other, a batch each in turn.

    Batches are those of `modules.tasks.text_to_image`.

    Args:
        model: generator and discriminator.
        image: the field of images.
        text: the field of texts.
        interpolation: weight of the loss of texts half-way between two; 0 = none.

    Raises:
        ValueError: the model has no two players, or the weight is negative.
    """

    serves = True
    validation_metrics: ClassVar[dict[str, Literal["max", "min"]]] = {
        "validation/energy_distance": "min",
        "validation/real_accuracy": "max",
        "validation/fooled": "max",
    }
    model: TextToImageGAN

    def __init__(
        self, model: nn.Module, image: str = "image", text: str = "caption", interpolation: float = 0.0
    ) -> None:
        super().__init__(model)
        if not isinstance(model, TextToImageGAN):
            raise ValueError(f"{type(model).__name__} has no generator and discriminator of texts")
        if interpolation < 0:
            raise ValueError(f"interpolation={interpolation} is negative")
        self.image, self.text, self.interpolation = image, text, interpolation

    @property
    def generator(self) -> Generator:
        """What generates images."""
        return self.model.generator

    def steps(self) -> list[Step]:
        return [
            Step("discriminator", list(self.model.discriminator.parameters()), self.discriminator_loss),
            Step("generator", list(self.model.generator.parameters()), self.loss),
        ]

    def inputs(self, batch: dict[str, Tensor]) -> Int[Tensor, "batch time"]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The texts' tokens."""
        return batch[self.text]

    def loss(self, batch: dict[str, Tensor]) -> Mean:
        """What the generator learns from."""
        texts, length = self.served_inputs(batch)
        generator, discriminator = self.model.generator, self.model.discriminator
        found = _wanted(self.model(texts, length, self._noise(texts))[1], 1.0)
        if self.interpolation:
            own, theirs = generator.text(texts, length), discriminator.text(texts, length)
            between = generator.of_vectors((own + own.roll(1, 0)) / 2, self._noise(texts))
            maps = discriminator.convolutions(2 * between - 1)
            logits = discriminator.judged(maps, (theirs + theirs.roll(1, 0)) / 2)
            found = found + self.interpolation * _wanted(logits, 1.0)
        return Mean.of(found)

    def discriminator_loss(self, batch: dict[str, Tensor]) -> Mean:
        """What the discriminator learns from."""
        texts, length = self.served_inputs(batch)
        generated = self.model.generator(texts, length, self._noise(texts)).detach()
        real, other, made = self._judged(batch, generated)
        return Mean.of(_wanted(real, 1.0) + (_wanted(other, 0.0) + _wanted(made, 0.0)) / 2)

    def validate(self, batch: dict[str, Tensor]) -> dict[str, Mean]:
        """Losses, and how often the discriminator is right of real pairs and of generated images, whose
        noise is the same in every validation."""
        texts, length = self.served_inputs(batch)
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(len(texts), self.generator.noise_size, generator=generator).to(texts.device)
        images = self.model.generator(texts, length, noise)
        real, _, made = self._judged(batch, images)
        apart = energy_distance(images.float().flatten(1), image_inputs(batch[self.image]).float().flatten(1))
        return {
            "validation/energy_distance": Mean.of_mean(apart, len(texts)),
            "validation/real_accuracy": Mean.of(real > 0),
            "validation/fooled": Mean.of(made > 0),
        }

    def _judged(self, batch: dict[str, Tensor], generated: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of real images with their texts and with others, and of generated ones."""
        texts, length = self.served_inputs(batch)
        discriminator = self.model.discriminator
        vectors = discriminator.text(texts, length)
        real = discriminator.convolutions(2 * image_inputs(batch[self.image]) - 1)
        made = discriminator.convolutions(2 * generated - 1)
        return (
            discriminator.judged(real, vectors),
            discriminator.judged(real, vectors.roll(1, 0)),
            discriminator.judged(made, vectors),
        )

    def _noise(self, texts: Tensor) -> Float[Tensor, "batch noise"]:
        return torch.randn(len(texts), self.generator.noise_size, device=texts.device)

    def served(self, data: "DataSettings", vocabularies: "Mapping[str, Vocabulary]") -> Served:
        """From texts to images, of a noise of zeros."""
        return image_of_text(self.generator, self.text, self.image, data, vocabularies)

    def served_inputs(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        return batch[self.text], batch[f"{self.text}_length"]


def _wanted(logits: Float[Tensor, " batch"], label: float) -> Float[Tensor, " batch"]:
    return functional.binary_cross_entropy_with_logits(
        logits.float(), torch.full_like(logits, label, dtype=torch.float32), reduction="none"
    )
