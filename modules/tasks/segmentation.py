"""Segmentation: a class for each pixel or voxel, by the cross-entropy of a softmax (Long et al. 2015)."""

from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Int, Num
from torch import Tensor, nn
from torch.nn import functional

from modules.configuration.errors import UserError
from modules.metrics.mean import Mean
from modules.metrics.overlap import confusion_matrix, mean_intersection_over_union
from modules.tasks.image_inputs import image_inputs, images_and_sizes, served_image
from modules.tasks.served import Served, ServedOutput
from modules.tasks.task import Task
from modules.tasks.worker_shares import of_all_workers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modules.configuration.schema.data_settings import DataSettings
    from modules.datamodules.vocabulary import Vocabulary


class MostProbableClass(nn.Module):
    """The number of the most probable class of each pixel.

    Args:
        model: see `Segmentation`.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        images: Float[Tensor, "batch channels *sizes"],
        sizes: Int[Tensor, "batch axes"] | None = None,
    ) -> Int[Tensor, "batch *sizes"]:
        """
        Args:
            images: in 0..1, padded.
            sizes: height and width of each; what lies beyond is of no meaning.
        """
        return self.model(images).argmax(dim=1)


class Segmentation(Task):
    """Learns to name the class of each pixel.

    Batches hold `image` ([batch, channels, height, width], uint8 0..255 or float 0..1) and `mask`
    ([batch, height, width], class numbers); of images of differing size `mask_length` ([batch, 2]) as well.
    A volume has its depth before the height.

    Args:
        model: from images in 0..1 to logits, [batch, num_classes, height, width].
        num_classes: classes to choose from, with that of the ground.
        augmentation: changes images and masks of each batch in training; called with the images and `masks`.
        image: the field of images.
        mask: the field of masks.
    """

    validation_metrics: ClassVar[dict[str, Literal["max", "min"]]] = {
        "validation/loss": "min",
        "validation/accuracy": "max",
        "validation/mean_iou": "max",
    }
    serves = True
    _confusion: Tensor

    def __init__(
        self,
        model: nn.Module,
        num_classes: int,
        augmentation: nn.Module | None = None,
        image: str = "image",
        mask: str = "mask",
    ) -> None:
        super().__init__(model)
        self.num_classes = num_classes
        self.augmentation = augmentation
        self.image = image
        self.mask = mask

    def inputs(self, batch: dict[str, Tensor]) -> Float[Tensor, "batch channels *sizes"]:
        """Images as the model takes them, in the floating-point type that the precision asks for."""
        return image_inputs(batch[self.image])

    def loss(self, batch: dict[str, Tensor]) -> Mean:
        """The cross-entropy of a pixel, in nats."""
        images, masks, keep = self.inputs(batch), batch[self.mask], self.keep(batch)
        if self.training and self.augmentation is not None:
            images, masks = self.augmentation(images, masks=masks)
        return self.cost(self.model(images), masks, keep)

    def validate(self, batch: dict[str, Tensor]) -> dict[str, Mean]:
        logits, truth, keep = self.logits(batch), batch[self.mask].long(), self.keep(batch)
        prediction = logits.argmax(dim=1)
        self._confusion = self._confusion.to(truth.device) + confusion_matrix(
            prediction, truth, self.num_classes, keep
        )
        return {
            "validation/loss": self.cost(logits, truth, keep),
            "validation/accuracy": Mean.of(prediction == truth, keep),
        }

    def start_validation(self) -> None:
        self._confusion = torch.zeros((self.num_classes, self.num_classes), dtype=torch.int64)

    def finish_validation(self) -> dict[str, float]:
        """Mean intersection over union of the whole split, over all workers."""
        confusion = of_all_workers(self._confusion[None]).sum(0)
        return {"validation/mean_iou": mean_intersection_over_union(confusion)}

    def logits(self, batch: dict[str, Tensor]) -> Float[Tensor, "batch num_classes *sizes"]:
        """What the model says of a batch of raw fields."""
        return self.model(self.inputs(batch))

    def keep(self, batch: dict[str, Tensor]) -> Bool[Tensor, "batch *sizes"] | None:
        """Which pixels of the masks are no padding; None = all."""
        sizes = batch.get(f"{self.mask}_length")
        if sizes is None:
            return None
        mask = batch[self.mask]
        keep = torch.ones(mask.shape, dtype=torch.bool, device=sizes.device)
        for axis, size in enumerate(mask.shape[1:]):
            inside = torch.arange(size, device=sizes.device) < sizes[:, axis, None]
            keep &= inside.view(len(mask), *(size if one == axis else 1 for one in range(mask.ndim - 1)))
        return keep

    def cost(
        self,
        logits: Float[Tensor, "batch num_classes *sizes"],
        masks: Num[Tensor, "batch *mask_sizes"],
        keep: Bool[Tensor, "batch *mask_sizes"] | None,
    ) -> Mean:
        """The cross-entropy of a pixel, in nats.

        Raises:
            UserError: the masks are of another size than the model's answer, or of more or fewer classes.
        """
        if logits.shape[1] != self.num_classes:
            raise UserError(
                f"the model names {logits.shape[1]} classes, the masks {self.num_classes}",
                f"Set model.num_classes={self.num_classes}",
            )
        if logits.shape[2:] != masks.shape[1:]:
            raise UserError(
                f"the masks are {list(masks.shape[1:])}, and the model answers {list(logits.shape[2:])}",
                "Masks must be as large as their images, and the model must answer for each pixel",
            )
        return Mean.of(functional.cross_entropy(logits, masks.long(), reduction="none"), keep)

    def served(self, data: "DataSettings", vocabularies: "Mapping[str, Vocabulary]") -> Served:
        """From images in 0..1 to the class of each pixel."""
        image = served_image(data, self.inputs, self.image)
        classes = tuple(data.fields[self.mask].classes or ())
        output = ServedOutput(self.mask, "mask", image.shape[1:], classes)
        return Served(MostProbableClass(self.model), (image,), (output,))

    def served_inputs(self, batch: dict[str, Tensor]) -> tuple[Tensor, ...]:
        return images_and_sizes(self.inputs(batch), batch, self.image)
