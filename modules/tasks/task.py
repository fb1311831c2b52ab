"""A learning problem: what a model's loss is, what validation measures, what is served in the end.

A task says nothing of how it is trained: `modules.training.training_step` does that. What few tasks have
beside this (a step of their own, chains in the checkpoint) is in `modules.tasks.optional_methods`.
"""

from typing import TYPE_CHECKING, ClassVar, Literal

from jaxtyping import Float
from torch import Tensor, nn

from modules.metrics.mean import Mean
from modules.tasks.step import Step

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modules.configuration.schema.data_settings import DataSettings
    from modules.datamodules.vocabulary import Vocabulary
    from modules.tasks.served import Served

SequenceForm = Literal["one to many", "many to one", "many to many", "synchronised many to many"]
"""What goes in and comes out: one value or many; synchronised where each step has an output of its own."""


class Task(nn.Module):
    """Base of all tasks; a batch is a field's tensor by name, as the shards hold it.

    Args:
        model: the network whose weights are learned.

    Attributes:
        validation_metrics: what validation measures, and whether more or less of it is better.
        serves: whether `served` gives what can be exported; read from source where torch is not imported.
        sequence_form: which form of sequence learning it is; None where no sequence goes in or comes out.
            Read from source, as is the following.
        inputs_and_outputs: of sequence learning, what goes in and what comes out, in words.
    """

    validation_metrics: ClassVar[dict[str, Literal["max", "min"]]] = {}
    serves: ClassVar[bool] = False
    sequence_form: ClassVar[SequenceForm | None] = None
    inputs_and_outputs: ClassVar[tuple[str, str] | None] = None

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def inputs(self, batch: dict[str, Tensor]) -> Float[Tensor, "batch ..."]:
        """What the model takes, from a batch of raw fields."""
        raise NotImplementedError

    def loss(self, batch: dict[str, Tensor]) -> Mean:
        """The loss of one batch of raw fields as a sum, with its graph, and a count.

        What is learned is the one by the other, over all workers together: the mean loss of a sample, of a
        token. See `Mean.of`.
        """
        raise NotImplementedError

    def steps(self) -> list[Step]:
        """What learns from which loss; several take turns, such as those of adversaries."""
        return [Step("train", list(self.model.parameters()), self.loss)]

    def validate(self, batch: dict[str, Tensor]) -> dict[str, Mean]:
        """What one batch of the validation split adds to `validation_metrics`, by name."""
        raise NotImplementedError

    def start_validation(self) -> None:
        """Called before the first batch of a validation, in evaluation mode and without gradients."""

    def finish_validation(self) -> dict[str, float]:
        """Figures of the whole split, called after its last batch; averaged over workers."""
        return {}

    def served(self, data: "DataSettings", vocabularies: "Mapping[str, Vocabulary]") -> "Served | None":
        """What is exported and served; None where there is nothing to serve.

        Args:
            data: the dataset's settings: its fields with their classes.
            vocabularies: of its fields of text.
        """
        return None

    def served_inputs(self, batch: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """What the served module is called with, from a batch of raw fields."""
        return (self.inputs(batch),)
