"""Style transfer: a photograph in the manner of a painting, by an image whose pixels are what learns.

Gatys, Ecker & Bethge (2015), *A neural algorithm of artistic style*, arXiv 1508.06576; the losses are in
`modules.generation.image_optimisation`.
"""

from typing import Any, ClassVar, Literal

from jaxtyping import Float
from torch import Tensor, nn

from modules.generation.image_optimisation import (
    StyleLosses,
    StyleObjective,
    StyleTargets,
    style_losses,
    style_targets,
)
from modules.metrics.mean import Mean
from modules.models.convolutional.stylised_image import StylisedImage
from modules.tasks.image_inputs import image_inputs
from modules.tasks.task import Task


class StyleTransfer(Task):
    """Learns one image that is like all photographs of a batch in content, and like its paintings in style.

    Batches hold `content` and `style`, [batch, 3, height, width], uint8 0..255 or float 0..1. A dataset of
    one pair is what the paper has; of several the image is a compromise.

    Args:
        model: the image and the network that looks at it.
        content_weights: of each layer's content loss.
        style_weights: of each layer's style loss.
        variation_weight: of the differences between neighbouring pixels.

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
    ) -> None:
        super().__init__(model)
        if not isinstance(model, StylisedImage):
            raise ValueError(f"{type(model).__name__} is no image that learns")
        known = [info.name for info in model.backbone.feature_info]
        if unknown := [name for name in [*content_weights, *style_weights] if name not in known]:
            raise ValueError(f"the model gives no maps {unknown[0]!r}, only {', '.join(known)}")
        self.objective = StyleObjective(content_weights, style_weights, variation_weight)
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
        return style_losses(self.model.backbone, shown, self.targets(batch), self.objective)

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


def _equal(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and one.device == other.device and one.equal(other)
