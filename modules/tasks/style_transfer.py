"""Style transfer: a photograph in the manner of a painting, by an image whose pixels are what learns.

Gatys, Ecker & Bethge (2015), *A neural algorithm of artistic style*, arXiv 1508.06576; the losses are in
`modules.generation.image_optimisation`.
"""

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from modules.generation.image_optimisation import (
    StyleLosses,
    StyleObjective,
    StyleTargets,
    style_losses,
    style_targets,
    stylise,
)
from modules.metrics.mean import Mean
from modules.models.convolutional.stylised_image import StylisedImage
from modules.models.features import Backbone
from modules.tasks.image_inputs import image_inputs
from modules.tasks.served import Served, ServedInput, ServedOutput
from modules.tasks.task import Task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modules.configuration.schema.data_settings import DataSettings
    from modules.datamodules.vocabulary import Vocabulary


class Stylising(nn.Module):
    """Other photographs in the manner of other paintings: an optimisation for each pair.

    Args:
        backbone: gives maps.
        objective: layers and weights.
        num_evaluations: of the losses, for an image.
    """

    def __init__(self, backbone: Backbone, objective: StyleObjective, num_evaluations: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.objective = objective
        self.num_evaluations = num_evaluations

    def forward(
        self, content: Float[Tensor, "batch 3 height width"], style: Float[Tensor, "batch 3 _ _"]
    ) -> Float[Tensor, "batch 3 height width"]:
        """Images in 0..1; each begins with its photograph."""
        with torch.enable_grad():
            made = [
                stylise(
                    one,
                    style_targets(self.backbone, one[None], other[None], self.objective),
                    self.backbone,
                    self.objective,
                    self.num_evaluations,
                    "photograph",
                )
                for one, other in zip(content, style, strict=True)
            ]
        return torch.stack(made)


class StyleTransfer(Task):
    """Learns one image that is like all photographs of a batch in content, and like its paintings in style.

    Batches hold `content` and `style`, [batch, 3, height, width], uint8 0..255 or float 0..1. A dataset of
    one pair is what the paper has; of several the image is a compromise.

    Args:
        model: the image and the network that looks at it.
        content_weights: of each layer's content loss.
        style_weights: of each layer's style loss.
        variation_weight: of the differences between neighbouring pixels.
        num_evaluations: of the losses, for an image that `predict` makes of another pair.

    Raises:
        ValueError: the model has no image, or no layer of that name, or the weights demand nothing.
    """

    validation_metrics: ClassVar[dict[str, Literal["max", "min"]]] = {
        "validation/loss": "min",
        "validation/content_loss": "min",
        "validation/style_loss": "min",
    }
    model: StylisedImage

    def __init__(
        self,
        model: nn.Module,
        content_weights: dict[str, float],
        style_weights: dict[str, float],
        variation_weight: float = 0.0,
        num_evaluations: int = 150,
    ) -> None:
        super().__init__(model)
        if not isinstance(model, StylisedImage):
            raise ValueError(f"{type(model).__name__} is no image that learns")
        known = [info.name for info in model.backbone.feature_info]
        if unknown := [name for name in [*content_weights, *style_weights] if name not in known]:
            raise ValueError(f"the model gives no maps {unknown[0]!r}, only {', '.join(known)}")
        if num_evaluations < 1:
            raise ValueError(
                f"num_evaluations={num_evaluations} is below 1: the photograph would stay as it is"
            )
        self.objective = StyleObjective(content_weights, style_weights, variation_weight)
        self.num_evaluations = num_evaluations
        self._latest: tuple[dict[str, Tensor], list[Any], StyleTargets] | None = None

    def inputs(self, batch: dict[str, Tensor]) -> Float[Tensor, "batch 3 height width"]:
        """The photographs in 0..1."""
        return image_inputs(batch["content"])

    def loss(self, batch: dict[str, Tensor]) -> Mean:
        """Equation 7."""
        return Mean.of(self.losses(batch).total)

    def validate(self, batch: dict[str, Tensor]) -> dict[str, Mean]:
        losses = self.losses(batch)
        return {
            "validation/loss": Mean.of(losses.total),
            "validation/content_loss": Mean.of(losses.content),
            "validation/style_loss": Mean.of(losses.style),
        }

    def losses(
        self, batch: dict[str, Tensor], image: Float[Tensor, "3 height width"] | None = None
    ) -> StyleLosses:
        """The losses of the image that learns, or of another one, against each pair of a batch."""
        shown: Tensor = self.model() if image is None else image
        return style_losses(self.model.backbone, shown[None], self.targets(batch), self.objective)

    def targets(self, batch: dict[str, Tensor]) -> StyleTargets:
        """What the image is to be like; remembered, as each step's batch holds the pairs of the one before.

        To look at a pair costs as much as a step.
        """
        backbone = self.model.backbone
        weights = [(one._version, one.dtype, one.device) for one in backbone.parameters()]
        pairs = {name: batch[name] for name in ("content", "style")}
        if self._latest is not None and not batch["content"].is_meta:
            known, known_weights, targets = self._latest
            if known_weights == weights and all(_equal(known[name], pairs[name]) for name in pairs):
                return targets
        targets = style_targets(backbone, self.inputs(batch), image_inputs(batch["style"]), self.objective)
        self._latest = {name: pair.clone() for name, pair in pairs.items()}, weights, targets
        return targets

    def served(self, data: "DataSettings", vocabularies: "Mapping[str, Vocabulary]") -> Served:
        """From a photograph and a painting to an image: an optimisation, which torch cannot export."""
        shapes = {name: tuple(data.fields[name].shape) for name in ("content", "style")}
        return Served(
            Stylising(self.model.backbone, self.objective, self.num_evaluations),
            tuple(ServedInput(name, "image", shape) for name, shape in shapes.items()),
            (ServedOutput("stylised", "image", shapes["content"]),),
            exported=False,
        )

    def served_inputs(self, batch: dict[str, Tensor]) -> tuple[Tensor, ...]:
        return self.inputs(batch), image_inputs(batch["style"])


def _equal(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and one.device == other.device and one.equal(other)
