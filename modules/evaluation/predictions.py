"""What a classifier makes of a test split, and the figures that follow from it.

Anything that gives probabilities can be measured: a trained task, or an exported program.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from modules.configuration.errors import UserError


@dataclass(frozen=True)
class Predictions:
    """Those for every sample of a split, in the split's order.

    Attributes:
        probabilities: of each class.
        truth: the true class.
        index: number of the sample in its source.
    """

    probabilities: Float[Tensor, "samples num_classes"]
    truth: Int[Tensor, " samples"]
    index: Int[Tensor, " samples"]

    @property
    def num_samples(self) -> int:
        """Samples in the split."""
        return len(self.truth)

    @cached_property
    def prediction(self) -> Int[Tensor, " samples"]:
        """The most probable class."""
        return self.probabilities.argmax(dim=1)

    @cached_property
    def confusion(self) -> Int[Tensor, "num_classes num_classes"]:
        """How often each class (row) was taken for each class (column)."""
        num_classes = self.probabilities.shape[1]
        pairs = self.truth * num_classes + self.prediction
        return pairs.bincount(minlength=num_classes**2).view(num_classes, num_classes)

    @property
    def accuracy(self) -> float:
        """Share of the samples taken for what they are; exact, so that equal scores are equal."""
        return int(self.confusion.trace()) / self.num_samples

    @property
    def loss(self) -> float:
        """Mean cross-entropy in nats; what is below the smallest normal number counts as that number."""
        of_truth = self.probabilities.gather(1, self.truth[:, None])
        return float(-of_truth.clamp_min(torch.finfo(of_truth.dtype).tiny).double().log().mean())

    def worst_mistakes(self, most: int) -> list[int]:
        """Positions of the wrong predictions made with the greatest confidence, the worst first."""
        wrong = (self.prediction != self.truth).nonzero().flatten()
        confidence = self.probabilities[wrong].amax(dim=1)
        return wrong[confidence.argsort(descending=True, stable=True)[:most]].tolist()

    def spread_samples(self, most: int) -> list[int]:
        """Positions spread evenly over the split."""
        count = min(most, self.num_samples)
        return torch.linspace(0, self.num_samples - 1, count).round().int().tolist()


def predict(
    probabilities: Callable[[dict[str, Tensor]], Tensor],
    batches: Iterable[dict[str, Tensor]],
    label: str,
) -> Predictions:
    """Run a classifier over a split.

    Args:
        probabilities: from a batch of raw fields to the probability of each class, [batch, num_classes].
        batches: the split in order, with the samples' numbers as `index`.
        label: the field with the true class.

    Raises:
        UserError: if the split is empty, a label is no class, or a probability is not a number.
    """
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    with torch.inference_mode():
        for batch in batches:
            found.append((probabilities(batch), batch[label], batch["index"]))
    if not found:
        raise UserError("the test split holds no sample", "Give the dataset a larger test split.")
    predictions = Predictions(*(torch.cat(parts) for parts in zip(*found, strict=True)))
    num_classes = predictions.probabilities.shape[1]
    wrong = predictions.truth[(predictions.truth < 0) | (predictions.truth >= num_classes)]
    if len(wrong):
        raise UserError(
            f"the test split holds {label}={int(wrong[0])}, but there are {num_classes} classes",
            "The shards and the list of classes do not belong together: pack the dataset again.",
        )
    if not torch.isfinite(predictions.probabilities).all():
        raise UserError("the model gives probabilities that are not numbers", "Its weights are of no use.")
    return predictions
