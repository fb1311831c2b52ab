"""Multi-label classification: which classes an image shows, each with a sigmoid of its own.

The classification of the Pascal VOC challenge (Everingham et al. 2010, section 2.1): any number of classes
may be there. Loss: the cross-entropy of each class, as in Wei et al. (2014), arXiv 1406.5726.
"""

from collections import OrderedDict
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from modules.bricks.padding import kept
from modules.metrics.mean import Mean
from modules.metrics.ranking import ranking_precision
from modules.tasks.image_inputs import image_inputs, served_image
from modules.tasks.served import Served, ServedOutput
from modules.tasks.task import Task
from modules.tasks.worker_shares import lists_of_all_workers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modules.configuration.schema.data_settings import DataSettings
    from modules.datamodules.vocabulary import Vocabulary


class MultiLabelClassification(Task):
    """Learns which classes are in an image.

    Batches hold `image` ([batch, channels, height, width], uint8 0..255 or float 0..1), `labels` ([batch,
    objects], class numbers, padded) and `labels_length` ([batch]).

    Args:
        model: from images in 0..1 to logits, [batch, num_classes].
        num_classes: that may be there.
        augmentation: changes the images of each batch in training.
        image: the field of images.
        labels: the field of class numbers.
    """

    validation_metrics: ClassVar[dict[str, Literal["max", "min"]]] = {
        "validation/loss": "min",
        "validation/mean_average_precision": "max",
    }
    serves = True

    def __init__(
        self,
        model: nn.Module,
        num_classes: int,
        augmentation: nn.Module | None = None,
        image: str = "image",
        labels: str = "labels",
    ) -> None:
        super().__init__(model)
        self.num_classes = num_classes
        self.augmentation = augmentation
        self.image = image
        self.labels = labels
        self._answers: list[tuple[Tensor, Tensor]] = []

    def inputs(self, batch: dict[str, Tensor]) -> Float[Tensor, "batch channels height width"]:
        """Images as the model takes them, in the floating-point type that the precision asks for."""
        return image_inputs(batch[self.image])

    def loss(self, batch: dict[str, Tensor]) -> Mean:
        """The cross-entropy of a class, in nats."""
        images = self.inputs(batch)
        if self.training and self.augmentation is not None:
            images = self.augmentation(images)
        return self._cost(self.model(images), self.present(batch))

    def validate(self, batch: dict[str, Tensor]) -> dict[str, Mean]:
        logits, present = self.logits(batch), self.present(batch)
        self._answers.append((logits.float().cpu(), present.cpu()))
        return {"validation/loss": self._cost(logits, present)}

    def start_validation(self) -> None:
        self._answers = []

    def finish_validation(self) -> dict[str, float]:
        """The mean over the classes of the whole split's average precision, over all workers."""
        logits, present = map(torch.cat, zip(*lists_of_all_workers(self._answers), strict=True))
        precision = torch.nanmean(ranking_precision(logits, present))
        return {"validation/mean_average_precision": float(precision)}

    def logits(self, batch: dict[str, Tensor]) -> Float[Tensor, "batch num_classes"]:
        """What the model says of a batch of raw fields."""
        return self.model(self.inputs(batch))

    def present(self, batch: dict[str, Tensor]) -> Bool[Tensor, "batch num_classes"]:
        """Which classes are in each image."""
        labels, length = batch[self.labels], batch[f"{self.labels}_length"]
        there = kept(length, labels)
        # Padding counts as one more class, which is left out.
        numbers = torch.where(there, labels, self.num_classes)
        found = labels.new_zeros((len(labels), self.num_classes + 1))
        return found.scatter(1, numbers, 1)[:, : self.num_classes].bool()

    def _cost(self, logits: Tensor, present: Tensor) -> Mean:
        costs = functional.binary_cross_entropy_with_logits(
            logits, present.to(logits.dtype), reduction="none"
        )
        return Mean.of(costs)

    def served(self, data: "DataSettings", vocabularies: "Mapping[str, Vocabulary]") -> Served:
        """From images in 0..1 to the probability of each class, whatever the others."""
        module = nn.Sequential(OrderedDict(model=self.model, probabilities=nn.Sigmoid()))
        classes = tuple(data.fields[self.labels].classes or ())
        output = ServedOutput(self.labels, "values", (len(classes),), classes)
        return Served(module, (served_image(data, self.inputs, self.image),), (output,))
