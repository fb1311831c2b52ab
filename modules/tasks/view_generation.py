"""View generation: the image and the mask of a class seen from a view.

Dosovitskiy, Springenberg & Brox (2015), arXiv 1411.5928, equation 1: squared error of the image, weighted,
plus the error of the mask, here the cross-entropy. Deviates: a pixel's mean, not an image's sum; the image is
of all pixels, background included; nothing is transformed.
"""

from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from modules.metrics.mean import Mean
from modules.models.convolutional.view_generator import ViewGenerator
from modules.tasks.image_inputs import image_inputs
from modules.tasks.served import Served, ServedInput, ServedOutput
from modules.tasks.task import Task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modules.configuration.schema.data_settings import DataSettings
    from modules.datamodules.vocabulary import Vocabulary

_LEAST_ERROR = 1e-10
"""Of an image without any error, which would have no finite ratio: it counts as 100 dB."""


class GeneratedView(nn.Module):
    """From a class and a view to an image that can be shown, and the class of each pixel."""

    def __init__(self, model: ViewGenerator) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, classes: Float[Tensor, "batch num_classes"], view: Float[Tensor, "batch view_size"]
    ) -> tuple[Float[Tensor, "batch channels height width"], Int[Tensor, "batch height width"]]:
        """Images in 0..1, and masks of 0 (background) and 1 (object)."""
        image, mask_logits = self.model(classes, view)
        return image.clamp(0, 1), (mask_logits > 0).long()


class ViewGeneration(Task):
    """Learns to generate the image of a class from a view, and which of its pixels are the object.

    Batches hold an image ([batch, channels, height, width], uint8 0..255 or float 0..1), its mask ([batch,
    height, width], 0 = background), the number of its class ([batch], int64) and its view ([batch,
    view_size], sines and cosines).

    Args:
        model: generates an image and the logits of its mask.
        image_weight: of a pixel's squared error, summed over its channels, beside the cross-entropy of its
            mask in nats; the paper's lambda.
        image: the field of images.
        mask: the field of masks.
        label: the field of class numbers.
        view: the field of views.

    Raises:
        ValueError: the model generates no view, or the weight is not positive.
    """

    validation_metrics: ClassVar[dict[str, Literal["max", "min"]]] = {
        "validation/loss": "min",
        "validation/psnr_db": "max",
    }
    serves = True
    model: ViewGenerator

    def __init__(
        self,
        model: nn.Module,
        image_weight: float = 10.0,
        image: str = "image",
        mask: str = "mask",
        label: str = "label",
        view: str = "view",
    ) -> None:
        super().__init__(model)
        if not isinstance(model, ViewGenerator):
            raise ValueError(f"{type(model).__name__} generates no image of a class and a view")
        if not image_weight > 0:
            raise ValueError(f"image_weight={image_weight} is not positive: no image would be learned")
        self.image_weight = image_weight
        self.image = image
        self.mask = mask
        self.label = label
        self.view = view

    def inputs(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Classes, one-hot, and views, in torch's default floating-point type."""
        dtype = torch.get_default_dtype()
        classes = functional.one_hot(batch[self.label], self.model.num_classes)
        return classes.to(dtype), batch[self.view].to(dtype)

    def truth(
        self, batch: dict[str, Tensor]
    ) -> tuple[Float[Tensor, "batch channels height width"], Bool[Tensor, "batch height width"]]:
        """The images in 0..1, and which pixels are the object."""
        return image_inputs(batch[self.image]), batch[self.mask] > 0

    def loss(self, batch: dict[str, Tensor]) -> Mean:
        """Equation 1, a pixel's mean over each image."""
        image, mask_logits = self.model(*self.inputs(batch))
        return Mean.of(self._costs(batch, image, mask_logits))

    def validate(self, batch: dict[str, Tensor]) -> dict[str, Mean]:
        image, mask_logits = self.model(*self.inputs(batch))
        return {
            "validation/loss": Mean.of(self._costs(batch, image, mask_logits)),
            "validation/psnr_db": Mean.of(psnr_db(image.clamp(0, 1), self.truth(batch)[0])),
        }

    def _costs(self, batch: dict[str, Tensor], image: Tensor, mask_logits: Tensor) -> Float[Tensor, " batch"]:
        true_image, true_mask = self.truth(batch)
        # In half precision a mean over so many pixels would keep three digits.
        wide = torch.promote_types(image.dtype, torch.float32)
        error = (image.to(wide) - true_image).square().sum(1)
        logits = mask_logits.to(wide)
        nats = functional.binary_cross_entropy_with_logits(logits, true_mask.to(wide), reduction="none")
        return (self.image_weight * error + nats).flatten(1).mean(1)

    def served(self, data: "DataSettings", vocabularies: "Mapping[str, Vocabulary]") -> Served:
        """From classes (one-hot, or mixtures) and views to images and masks."""
        model = self.model
        inputs = (
            ServedInput(self.label, "vector", (model.num_classes,)),
            ServedInput(self.view, "vector", (model.view_size,)),
        )
        image, mask = data.fields[self.image], data.fields[self.mask]
        outputs = (
            ServedOutput(self.image, "image", tuple(image.shape)),
            ServedOutput(self.mask, "mask", tuple(mask.shape), tuple(mask.classes or ())),
        )
        return Served(GeneratedView(model), inputs, outputs)

    def served_inputs(self, batch: dict[str, Tensor]) -> tuple[Tensor, ...]:
        return self.inputs(batch)


def psnr_db(
    image: Float[Tensor, "batch channels height width"], truth: Float[Tensor, "batch channels height width"]
) -> Float[Tensor, " batch"]:
    """The peak signal-to-noise ratio of each image in 0..1: -10 log10 of the mean squared error, in dB."""
    error = (image.to(truth.dtype) - truth).square().flatten(1).mean(1)
    return -10 * error.clamp_min(_LEAST_ERROR).log10()
