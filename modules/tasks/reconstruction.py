"""Reconstruction: an input reconstructed from its code, so that the code has to hold what matters in it.

Cross-entropy of pixels taken for probabilities: Hinton & Salakhutdinov (2006), Science 313, note 9 there.
Denoising: Vincent, Larochelle, Bengio & Manzagol (2008), *Extracting and composing robust features with
denoising autoencoders*, ICML, section 2.3: the code is of the input with noise (the paper's x~), the loss of
the input without (x).
"""

from typing import TYPE_CHECKING, ClassVar, Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from modules.metrics.mean import Mean
from modules.models.protocols import Autoencoder
from modules.tasks.image_inputs import demand_unit_interval, image_inputs, served_image
from modules.tasks.served import Served, ServedOutput
from modules.tasks.task import Task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modules.configuration.schema.data_settings import DataSettings
    from modules.datamodules.vocabulary import Vocabulary


class Encoder(nn.Module):
    """The half of an autoencoder that gives codes."""

    def __init__(self, model: Autoencoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch code"]:
        return self.model.encode(images)


class Reconstruction(Task):
    """Learns to reconstruct images from their codes.

    Batches hold `image`, [batch, channels, height, width], uint8 0..255 or float 0..1.

    Args:
        model: reconstructs images in 0..1, by its methods `encode` and `decode`; says its `code_size`.
        error: `cross_entropy` in nats, where the model gives logits and a pixel in 0..1 is the probability
            of white; or `squared_error`, where it gives the pixels themselves. Either is summed over the
            pixels of an image.
        noise: changes the images that are encoded, in training only; None = images as they are.
        preprocessing: makes of every image what the model takes and reconstructs, such as another size.

    Raises:
        ValueError: if the model is no autoencoder.
    """

    validation_metrics: ClassVar[dict[str, Literal["max", "min"]]] = {"validation/loss": "min"}
    serves = True
    model: Autoencoder

    def __init__(
        self,
        model: nn.Module,
        error: Literal["cross_entropy", "squared_error"] = "cross_entropy",
        noise: nn.Module | None = None,
        preprocessing: nn.Module | None = None,
    ) -> None:
        super().__init__(model)
        if not isinstance(model, Autoencoder):
            raise ValueError(f"{type(model).__name__} cannot decode: reconstruction needs an autoencoder")
        self.error = error
        self.noise = noise
        self.preprocessing = preprocessing
        self._looked_at_values = error == "squared_error"

    def inputs(self, batch: dict[str, Tensor]) -> Float[Tensor, "batch channels height width"]:
        """Images as the model takes them, in the floating-point type that the precision asks for.

        Raises:
            UserError: the first ones are not in 0..1, and the error is the cross-entropy.
        """
        image = batch["image"]
        if not self._looked_at_values and image.is_floating_point():
            demand_unit_interval(
                image, "probabilities", "Scale the field to 0..1, or set task.error=squared_error"
            )
            self._looked_at_values = not image.is_meta
        return image_inputs(image, self.preprocessing)

    def loss(self, batch: dict[str, Tensor]) -> Mean:
        """What the reconstructions of a batch's images cost."""
        return Mean.of(self.costs(batch))

    def validate(self, batch: dict[str, Tensor]) -> dict[str, Mean]:
        return {"validation/loss": Mean.of(self.costs(batch))}

    def costs(self, batch: dict[str, Tensor]) -> Float[Tensor, " batch"]:
        """What the reconstruction of each image costs."""
        images = self.inputs(batch)
        noisy = self.noise(images) if self.training and self.noise is not None else images
        reconstructed = self.model(noisy)
        if self.error == "cross_entropy":
            cost = functional.binary_cross_entropy_with_logits(reconstructed, images, reduction="none")
        else:
            cost = functional.mse_loss(reconstructed, images, reduction="none")
        return cost.flatten(1).sum(1)

    def decode(self, codes: Float[Tensor, "batch code"]) -> Float[Tensor, "batch channels height width"]:
        """The images that codes stand for, in 0..1 or, by `squared_error`, about that."""
        pixels = self.model.decode(codes)
        return pixels.sigmoid() if self.error == "cross_entropy" else pixels

    def reconstruct(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """The images reconstructed from their codes, as `decode` gives them."""
        return self.decode(self.model.encode(images))

    def served(self, data: "DataSettings", vocabularies: "Mapping[str, Vocabulary]") -> Served:
        """From images in 0..1 to their codes."""
        names = tuple(f"code {number}" for number in range(self.model.code_size))
        output = ServedOutput("code", "values", (len(names),), names)
        return Served(Encoder(self.model), (served_image(data, self.inputs),), (output,))
