"""Distillation: a student learns what a teacher says of each class, not the label alone.

Hinton, Vinyals & Dean 2015, *Distilling the knowledge in a neural network*, section 2 (arXiv 1503.02531):
cross-entropy with the teacher's softmax at a temperature, times the temperature squared, plus a small share
of the ordinary cross-entropy with the labels. The paper's T is `temperature` here. A teacher gives
log-probabilities in place of logits; the softmax takes both for the same.
"""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from modules.configuration.errors import UserError
from modules.metrics.mean import Mean
from modules.tasks.classification import Classification


class Distillation(Classification):
    """Learns to name the class of an image as a teacher does.

    Batches hold `image` and `label` as in `Classification`, and `teacher` ([batch, num_classes], the
    teacher's log-probabilities).

    Args:
        model: takes images in 0..1 and returns logits, [batch, num_classes].
        num_classes: classes to choose from.
        temperature: divides the logits of both before the softmax; higher shows more of what the teacher
            holds for similar.
        label_weight: share of the loss that the labels have; 0 = the teacher alone, no label is looked at.
        augmentation: changes the images of each batch in training; the teacher saw them unchanged.
        preprocessing: makes of every image what the model takes, such as another size.

    Raises:
        ValueError: temperature or share out of range.
    """

    def __init__(
        self,
        model: nn.Module,
        num_classes: int,
        temperature: float = 4.0,
        label_weight: float = 0.1,
        augmentation: nn.Module | None = None,
        preprocessing: nn.Module | None = None,
    ) -> None:
        super().__init__(model, num_classes, augmentation=augmentation, preprocessing=preprocessing)
        if temperature <= 0:
            raise ValueError(f"temperature {temperature} is not above 0")
        if not 0 <= label_weight <= 1:
            raise ValueError(f"label_weight {label_weight} is not within 0..1")
        self.temperature = temperature
        self.label_weight = label_weight

    def loss(self, batch: dict[str, Tensor]) -> Mean:
        if "teacher" not in batch:
            raise UserError("the task Distillation has no teacher", "Name one: teacher=[lenet@champion]")
        logits = self.model(self.training_inputs(batch))
        soft = self.soft_loss(logits, batch["teacher"])
        if self.label_weight == 0:
            return Mean(soft, len(logits))
        hard = functional.cross_entropy(logits, batch["label"], reduction="sum")
        return Mean(self.label_weight * hard + (1 - self.label_weight) * soft, len(logits))

    def soft_loss(
        self, logits: Float[Tensor, "batch num_classes"], teacher: Float[Tensor, "batch num_classes"]
    ) -> Float[Tensor, ""]:
        """Cross-entropy with the teacher at the temperature, times its square: its gradient in the logits
        stays of the size of the labels' (there, below equation 4). Summed over the batch."""
        targets = (teacher.to(logits.dtype) / self.temperature).softmax(dim=1)
        summed = functional.cross_entropy(logits / self.temperature, targets, reduction="sum")
        return summed * self.temperature**2
