"""Classification of texts: one label of several for each, by the cross-entropy of a softmax."""

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from modules.tasks.classification import Classification
from modules.tasks.served import Served, ServedInput, ServedOutput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modules.configuration.schema.data_settings import DataSettings
    from modules.datamodules.vocabulary import Vocabulary


class TextClassification(Classification):
    """Learns to name the class of a text.

    Batches hold the field of text ([batch, time], int64 tokens, padded), `<field>_length` ([batch]) and the
    field of class numbers ([batch], int64).

    Args:
        model: takes tokens [batch, time] and lengths [batch], and returns logits, [batch, num_classes].
        num_classes: classes to choose from.
        label_smoothing: share of the target's probability spread evenly over all classes.
        text: the field of text.
        label: the field of class numbers.
    """

    sequence_form = "many to one"
    inputs_and_outputs = ("a text", "its class")

    def __init__(
        self,
        model: nn.Module,
        num_classes: int,
        label_smoothing: float = 0.0,
        text: str = "text",
        label: str = "label",
    ) -> None:
        super().__init__(model, num_classes, label_smoothing, label=label)
        self.text = text

    def inputs(self, batch: dict[str, Tensor]) -> Int[Tensor, "batch time"]:
        """The tokens."""
        return batch[self.text]

    def logits(self, batch: dict[str, Tensor]) -> Float[Tensor, "batch num_classes"]:
        return self.model(self.inputs(batch), batch[f"{self.text}_length"])

    def training_logits(self, batch: dict[str, Tensor]) -> Float[Tensor, "batch num_classes"]:
        return self.logits(batch)

    def served(self, data: "DataSettings", vocabularies: "Mapping[str, Vocabulary]") -> Served:
        """From texts to the probability of each class."""
        classes = tuple(data.fields[self.label].classes or ())
        text = ServedInput(self.text, "text", ("time",), vocabularies[self.text].to_plain())
        output = ServedOutput(self.label, "classes", (len(classes),), classes)
        return Served(ClassProbabilities(self.model), (text,), (output,))

    def served_inputs(self, batch: dict[str, Tensor]) -> tuple[Tensor, ...]:
        return batch[self.text], batch[f"{self.text}_length"]


class ClassProbabilities(nn.Module):
    """From tokens and lengths to the probability of each class.

    Args:
        model: see `TextClassification`.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, tokens: Int[Tensor, "batch time"], length: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch num_classes"]:
        return torch.softmax(self.model(tokens, length), dim=1)
