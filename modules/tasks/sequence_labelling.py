"""Sequence labelling: a label for each step of a sequence, input and labels in step with each other.

Graves (2012), *Supervised sequence labelling with recurrent neural networks*, section 2.3.2 ("segment
classification" with segments of one step). The labels are a field as long as what is read: characters with
their accents for characters without, the digits of a sum behind its terms, what happens in each frame of a
clip.
"""

from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn
from torch.nn import functional

from modules.bricks.padding import kept
from modules.configuration.errors import UserError
from modules.datamodules.vocabulary import SPECIAL, UNKNOWN
from modules.metrics.mean import Mean
from modules.tasks.image_inputs import image_inputs, served_image
from modules.tasks.served import Served, ServedInput, ServedOutput
from modules.tasks.task import Task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modules.configuration.schema.data_settings import DataSettings
    from modules.datamodules.vocabulary import Vocabulary


class MostProbableLabels(nn.Module):
    """The number of the most probable label of each step.

    Where labels are text, the special tokens of the input - padding, begin, end - are answered by themselves,
    and every other token by one that is not special: the answer is as long as the text.

    Args:
        model: see `SequenceLabelling`.
        labels_are_text: whether they have a vocabulary.
        unknown_stays: whether an unknown token of the input is answered by unknown: a letter that was never
            seen is nothing that could be restored.
    """

    def __init__(self, model: nn.Module, labels_are_text: bool = False, unknown_stays: bool = False) -> None:
        super().__init__()
        self.model = model
        self.labels_are_text = labels_are_text
        self.unknown_stays = unknown_stays

    def forward(
        self, source: Shaped[Tensor, "batch time ..."], length: Int[Tensor, " batch"]
    ) -> Int[Tensor, "batch time"]:
        logits = self.model(source, length)
        if not self.labels_are_text:
            return logits.argmax(dim=2)
        stays = source < len(SPECIAL)
        if not self.unknown_stays:
            stays &= source != UNKNOWN
        return torch.where(stays, source, logits[:, :, len(SPECIAL) :].argmax(dim=2) + len(SPECIAL))


class SequenceLabelling(Task):
    """Learns a label for each step; the loss is the cross-entropy of a step in nats.

    Batches hold the source, a text ([batch, time], int64 tokens, padded) or a clip ([batch, frames, channels,
    height, width], padded), with `<field>_length` ([batch]), and the field of labels ([batch, time], int64)
    with a length that is the same.

    Args:
        model: takes the source and lengths [batch], and returns logits, [batch, time, labels].
        source: the field that is read.
        labels: the field of labels, of classes or of text.
    """

    serves = True
    sequence_form = "synchronised many to many"
    inputs_and_outputs = ("a text, or a clip", "a label for each step")
    validation_metrics: ClassVar[dict[str, Literal["max", "min"]]] = {
        "validation/loss": "min",
        "validation/accuracy": "max",
        "validation/sequence_accuracy": "max",
    }

    def __init__(self, model: nn.Module, source: str = "text", labels: str = "labels") -> None:
        super().__init__(model)
        self.source, self.labels = source, labels

    def inputs(self, batch: dict[str, Tensor]) -> Shaped[Tensor, "batch time ..."]:
        """The source: tokens as they are, clips in 0..1."""
        given = batch[self.source]
        return image_inputs(given) if given.dtype == torch.uint8 else given

    def loss(self, batch: dict[str, Tensor]) -> Mean:
        return Mean.of(self._losses(self.logits(batch), batch), self.keep(batch))

    def validate(self, batch: dict[str, Tensor]) -> dict[str, Mean]:
        """Of the steps, and of sequences: those are right whose steps all are."""
        logits, keep = self.logits(batch), self.keep(batch)
        right = logits.argmax(dim=2) == batch[self.labels]
        return {
            "validation/loss": Mean.of(self._losses(logits, batch), keep),
            "validation/accuracy": Mean.of(right, keep),
            "validation/sequence_accuracy": Mean.of((right | ~keep).all(dim=1)),
        }

    def logits(self, batch: dict[str, Tensor]) -> Float[Tensor, "batch time labels"]:
        """What the model says of a batch of raw fields."""
        return self.model(*self.served_inputs(batch))

    def keep(self, batch: dict[str, Tensor]) -> Bool[Tensor, "batch time"]:
        """Which steps are no padding."""
        return kept(batch[f"{self.source}_length"], batch[self.source])

    def _losses(
        self, logits: Float[Tensor, "batch time labels"], batch: dict[str, Tensor]
    ) -> Float[Tensor, "batch time"]:
        labels = batch[self.labels]
        if labels.shape != logits.shape[:2]:
            raise UserError(
                f"{self.labels} are {list(labels.shape)}, and the model answers {list(logits.shape[:2])}",
                f"Each step of {self.source} has one label: both must share the symbol of their length",
            )
        return functional.cross_entropy(logits.transpose(1, 2), labels, reduction="none")

    def served(self, data: "DataSettings", vocabularies: "Mapping[str, Vocabulary]") -> Served:
        """From texts or clips to the most probable label of each step, or to the text that labels make."""
        text = vocabularies.get(self.source)
        if text is None:
            if self.labels in vocabularies:
                raise UserError(
                    f"{self.labels} are text, and {self.source} is none",
                    "Labels of clips are classes: give the field of labels their names",
                )
            given, steps = served_image(data, self.inputs, self.source), data.fields[self.source].shape[:1]
        else:
            given, steps = ServedInput(self.source, "text", ("time",), text.to_plain()), ["time"]
        if text is not None and self.labels in vocabularies:
            labels = vocabularies[self.labels]
            unknown_stays = text.kind == labels.kind == "characters"
            module = MostProbableLabels(self.model, labels_are_text=True, unknown_stays=unknown_stays)
            output = ServedOutput(self.labels, "text", ("time",), vocabulary=labels.to_plain())
        else:
            module = MostProbableLabels(self.model)
            classes = tuple(data.fields[self.labels].classes or ())
            output = ServedOutput(self.labels, "labels", tuple(steps), classes)
        return Served(module, (given,), (output,))

    def served_inputs(self, batch: dict[str, Tensor]) -> tuple[Tensor, ...]:
        return self.inputs(batch), batch[f"{self.source}_length"]
