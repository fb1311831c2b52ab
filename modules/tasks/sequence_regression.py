"""Sequence regression: numbers for a whole sequence of numbers, by the mean squared error.

The adding problem (Hochreiter & Schmidhuber 1997, Neural Computation 9, experiment 4) counts a sequence as
processed wrongly where the answer is off by more than 0.04.
"""

from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from modules.metrics.mean import Mean
from modules.tasks.served import Served, ServedInput, ServedOutput
from modules.tasks.task import Task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modules.configuration.schema.data_settings import DataSettings
    from modules.datamodules.vocabulary import Vocabulary


class SequenceRegression(Task):
    """Learns the numbers that belong to a sequence.

    Batches hold the field of sequences ([batch, time, features], padded) with `<field>_length` ([batch]), and
    the field of numbers ([batch, numbers]).

    Args:
        model: takes sequences [batch, time, features] and lengths [batch], and returns [batch, numbers].
        tolerance: an answer is wrong of which a number is off by more.
        max_length: longer sequences count nowhere, neither in training nor in validation; None = all count.
        sequence: the field of sequences.
        target: the field of numbers.

    Raises:
        ValueError: no sequence is so short, or no answer so good.
    """

    serves = True
    sequence_form = "many to one"
    inputs_and_outputs = ("a sequence of numbers", "the numbers that belong to it")
    validation_metrics: ClassVar[dict[str, Literal["max", "min"]]] = {
        "validation/loss": "min",
        "validation/error": "min",
    }

    def __init__(
        self,
        model: nn.Module,
        tolerance: float = 0.04,
        max_length: int | None = None,
        sequence: str = "sequence",
        target: str = "target",
    ) -> None:
        super().__init__(model)
        if tolerance <= 0 or (max_length is not None and max_length < 1):
            raise ValueError(f"tolerance={tolerance}, max_length={max_length}: nothing would count")
        self.tolerance, self.max_length = tolerance, max_length
        self.sequence, self.target = sequence, target

    def inputs(self, batch: dict[str, Tensor]) -> Float[Tensor, "batch time features"]:
        """The sequences, cut at the longest that counts, in torch's default floating-point type."""
        return batch[self.sequence][:, : self.max_length].to(torch.get_default_dtype())

    def loss(self, batch: dict[str, Tensor]) -> Mean:
        mean = Mean.of(self.squared_errors(self.answers(batch), batch), self.keep(batch))
        # A batch may have no sequence that counts.
        return Mean(mean.total, torch.as_tensor(mean.count).clamp(min=1))

    def validate(self, batch: dict[str, Tensor]) -> dict[str, Mean]:
        answers, keep = self.answers(batch), self.keep(batch)
        return {
            "validation/loss": Mean.of(self.squared_errors(answers, batch), keep),
            "validation/error": Mean.of(self.wrong(answers, batch), keep),
        }

    def answers(self, batch: dict[str, Tensor]) -> Float[Tensor, "batch numbers"]:
        """What the model says of a batch of raw fields."""
        inputs = self.inputs(batch)
        return self.model(inputs, self.length(batch).clamp(max=inputs.shape[1]))

    def length(self, batch: dict[str, Tensor]) -> Int[Tensor, " batch"]:
        """Steps of each sequence."""
        return batch[f"{self.sequence}_length"]

    def keep(self, batch: dict[str, Tensor]) -> Bool[Tensor, " batch"]:
        """Which sequences count."""
        length = self.length(batch)
        return (
            torch.ones_like(length, dtype=torch.bool)
            if self.max_length is None
            else length <= self.max_length
        )

    def squared_errors(
        self, answers: Float[Tensor, "batch numbers"], batch: dict[str, Tensor]
    ) -> Float[Tensor, " batch"]:
        """Of each sequence, the mean over its numbers."""
        return (answers - batch[self.target]).square().mean(dim=1)

    def wrong(
        self, answers: Float[Tensor, "batch numbers"], batch: dict[str, Tensor]
    ) -> Bool[Tensor, " batch"]:
        """Whether a number is off by more than the tolerance."""
        return ((answers - batch[self.target]).abs() > self.tolerance).any(dim=1)

    def served(self, data: "DataSettings", vocabularies: "Mapping[str, Vocabulary]") -> Served:
        """From sequences to their numbers."""
        sequence = ServedInput(self.sequence, "vector", tuple(data.fields[self.sequence].shape))
        (count,) = map(int, data.fields[self.target].shape)
        names = (self.target,) if count == 1 else tuple(f"{self.target}_{n}" for n in range(count))
        return Served(self.model, (sequence,), (ServedOutput(self.target, "values", (count,), names),))

    def served_inputs(self, batch: dict[str, Tensor]) -> tuple[Tensor, ...]:
        return batch[self.sequence].to(torch.get_default_dtype()), self.length(batch)
