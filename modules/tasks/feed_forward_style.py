"""Style transfer in one pass: a net learns to make images in the manner of one painting of any photographs.

Johnson, Alahi & Fei-Fei (2016), *Perceptual losses for real-time style transfer and super-resolution*, arXiv
1603.08155, equation 5; Ulyanov, Lebedev, Vedaldi & Lempitsky (2016), *Texture networks*, arXiv 1603.03417.
The losses are those that an optimisation of each image minimises: `modules.generation.image_optimisation`.
"""

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from modules.generation.image_optimisation import (
    StyleLosses,
    StyleObjective,
    StyleTargets,
    contents_of,
    style_losses,
    styles_of,
)
from modules.metrics.mean import Mean
from modules.models.convolutional.image_transformation import ImageTransformation
from modules.tasks.image_inputs import image_inputs
from modules.tasks.served import Served, ServedInput, ServedOutput
from modules.tasks.task import Task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modules.configuration.schema.data_settings import DataSettings
    from modules.datamodules.vocabulary import Vocabulary


class OfAnySize(nn.Module):
    """The net as it is served: photographs of one size at a time, none padded."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, content: Float[Tensor, "batch 3 height width"], content_length: Int[Tensor, "batch 2"]
    ) -> Float[Tensor, "batch 3 height width"]:
        """Images in 0..1."""
        return self.network(content)


class FeedForwardStyle(Task):
    """Learns to make of photographs images that are like them in content, and like a painting in style.

    Batches hold `content`, [batch, 3, height, width], uint8 0..255 or float 0..1. So does the split of
    paintings; of several, or of several parts of one, the style is their mean.

    Args:
        model: the net that learns and the network that looks at images.
        content_weights: of each layer's content loss, which is a sum over places: larger images ask for
            smaller weights.
        style_weights: of each layer's style loss.
        variation_weight: of the differences between neighbouring pixels, likewise a sum.
        paintings: the split of the dataset that holds the painting.
        augmentation: changes the photographs of each batch in training; None = photographs as they are.

    Raises:
        ValueError: the model transforms no images or has no layer of that name, or weights demand nothing.
    """

    # Content and style are measured too; each is to be had at the other's cost, so that their sum decides.
    validation_metrics: ClassVar[dict[str, Literal["max", "min"]]] = {"validation/loss": "min"}
    serves = True
    model: ImageTransformation
    painting: Tensor

    def __init__(
        self,
        model: nn.Module,
        content_weights: dict[str, float],
        style_weights: dict[str, float],
        variation_weight: float = 0.0,
        paintings: str = "paintings",
        augmentation: nn.Module | None = None,
    ) -> None:
        super().__init__(model)
        if not isinstance(model, ImageTransformation):
            raise ValueError(f"{type(model).__name__} is no net that transforms images")
        known = [info.name for info in model.backbone.feature_info]
        if unknown := [name for name in [*content_weights, *style_weights] if name not in known]:
            raise ValueError(f"the model gives no maps {unknown[0]!r}, only {', '.join(known)}")
        self.objective = StyleObjective(content_weights, style_weights, variation_weight)
        self.known_split = paintings
        self.augmentation = augmentation
        # Black until the dataset's are known. Its shards hold them: neither weights nor checkpoints do.
        self.register_buffer("painting", torch.zeros(1, 3, 16, 16, dtype=torch.uint8), persistent=False)
        self._styles: tuple[list[Any], dict[str, Tensor]] | None = None

    def know(self, samples: dict[str, Tensor]) -> None:
        """Takes the paintings; see `modules.tasks.optional_methods.KnowsSamples`."""
        self.painting = samples["content"].to(self.painting.device)
        self._styles = None

    def inputs(self, batch: dict[str, Tensor]) -> Float[Tensor, "batch 3 height width"]:
        """The photographs in 0..1."""
        return image_inputs(batch["content"])

    def loss(self, batch: dict[str, Tensor]) -> Mean:
        """Equation 5 of Johnson et al., of each image that is made."""
        photographs = self.inputs(batch)
        if self.training and self.augmentation is not None:
            photographs = self.augmentation(photographs)
        return Mean.of(self.losses(self.model(photographs), photographs).total)

    def validate(self, batch: dict[str, Tensor]) -> dict[str, Mean]:
        photographs = self.inputs(batch)
        losses = self.losses(self.model(photographs), photographs)
        return {
            "validation/loss": Mean.of(losses.total),
            "validation/content_loss": Mean.of(losses.content),
            "validation/style_loss": Mean.of(losses.style),
        }

    def losses(
        self,
        images: Float[Tensor, "batch 3 height width"],
        photographs: Float[Tensor, "batch 3 height width"],
    ) -> StyleLosses:
        """The losses of images in 0..1, each against its photograph and the painting."""
        targets = self.targets(photographs)
        return style_losses(self.model.backbone, images, targets, self.objective)

    def targets(self, photographs: Float[Tensor, "batch 3 height width"]) -> StyleTargets:
        """What images of photographs are to be like."""
        contents = contents_of(self.model.backbone, photographs, self.objective)
        num_pixels = photographs.shape[-2] * photographs.shape[-1]
        return StyleTargets(contents, {name: num_pixels * gram for name, gram in self.styles().items()})

    def styles(self) -> dict[str, Float[Tensor, "1 maps maps"]]:
        """The painting's Gram matrices by layer, for a pixel; computed once for the same weights."""
        backbone = self.model.backbone
        state = [(one._version, one.dtype, one.device) for one in backbone.parameters()]
        if self._styles is None or self._styles[0] != state:
            # Not of the kind that inference makes: training may need them afterwards.
            with torch.inference_mode(False):
                found = styles_of(backbone, image_inputs(self.painting), self.objective)
            self._styles = state, {name: gram.mean(0, keepdim=True) for name, gram in found.items()}
        return self._styles[1]

    def served(self, data: "DataSettings", vocabularies: "Mapping[str, Vocabulary]") -> Served:
        """From photographs of any size to images of that size; the network that looks at them stays here."""
        shape = (3, "height", "width")
        return Served(
            OfAnySize(self.model.network),
            (ServedInput("content", "image", shape),),
            (ServedOutput("stylised", "image", shape),),
        )

    def served_inputs(self, batch: dict[str, Tensor]) -> tuple[Tensor, ...]:
        images = self.inputs(batch)
        return images, torch.tensor([images.shape[2:]] * len(images))
