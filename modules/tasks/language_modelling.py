"""Language modelling: each token of a text is predicted from those before it.

Trained on streams (`trainer.order.kind: stream`) it is truncated backpropagation through time: the state
goes on from window to window, gradients end there. Trained on whole texts each begins with a state of its
own.
"""

from math import log
from typing import TYPE_CHECKING, ClassVar, Literal

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from modules.bricks.padding import kept
from modules.metrics.mean import Mean
from modules.tasks.carried_state import CarriedState
from modules.tasks.served import Served, ServedInput, ServedOutput
from modules.tasks.task import Task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modules.configuration.schema.data_settings import DataSettings
    from modules.datamodules.vocabulary import Vocabulary


class BitsPerToken(nn.Module):
    """How many bits a language model needs for a token of a text, on average.

    Args:
        model: see `LanguageModelling`.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, tokens: Int[Tensor, "batch time"], length: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch 1"]:
        logits, _ = self.model(tokens[:, :-1])
        chosen = logits.log_softmax(dim=-1).gather(2, tokens[:, 1:, None])[:, :, 0]
        keep = kept(length - 1, chosen)
        return -chosen.masked_fill(~keep, 0.0).sum(dim=1, keepdim=True) / (length[:, None] - 1) / log(2)


class LanguageModelling(Task):
    """Learns which token comes next; the loss is the cross-entropy of a token in nats.

    Batches hold the field of text ([batch, time], int64 tokens, padded), `<field>_length` ([batch]), and of a
    stream `<field>_begins` ([batch], bool).

    Args:
        model: from tokens [batch, time] and a state to logits [batch, time, vocab] and the next state.
        text: the field of text.
    """

    serves = True
    sequence_form = "synchronised many to many"
    inputs_and_outputs = ("a text", "at each step the next token")
    validation_metrics: ClassVar[dict[str, Literal["max", "min"]]] = {
        "validation/loss": "min",
        "validation/bits_per_token": "min",
    }

    def __init__(self, model: nn.Module, text: str = "text") -> None:
        super().__init__(model)
        self.text = text
        self.carried = CarriedState()

    def inputs(self, batch: dict[str, Tensor]) -> Int[Tensor, "batch time"]:
        """All tokens but the last of each text or window."""
        return batch[self.text][:, :-1]

    def loss(self, batch: dict[str, Tensor]) -> Mean:
        begins = batch.get(f"{self.text}_begins")
        before = None if begins is None else self.carried.before(begins)
        losses, keep, after = self._losses(batch, before)
        if begins is not None:
            self.carried.after(after)
        return Mean.of(losses, keep)

    def validate(self, batch: dict[str, Tensor]) -> dict[str, Mean]:
        losses, keep, _ = self._losses(batch, None)
        mean = Mean.of(losses, keep)
        return {"validation/loss": mean, "validation/bits_per_token": Mean(mean.total / log(2), mean.count)}

    def token_losses(
        self, batch: dict[str, Tensor]
    ) -> tuple[Float[Tensor, "batch time"], Bool[Tensor, "batch time"]]:
        """The cross-entropy of each token but the first, and which of them are no padding."""
        losses, keep, _ = self._losses(batch, None)
        return losses, keep

    def _losses(
        self, batch: dict[str, Tensor], before: tuple[Tensor, ...] | None
    ) -> tuple[Float[Tensor, "batch time"], Bool[Tensor, "batch time"], tuple[Tensor, ...]]:
        targets, length = batch[self.text][:, 1:], batch[f"{self.text}_length"]
        logits, after = self.model(self.inputs(batch), before)
        losses = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
        keep = kept(length - 1, targets)
        return losses.view(targets.shape), keep, after

    def served(self, data: "DataSettings", vocabularies: "Mapping[str, Vocabulary]") -> Served:
        """From texts to how surprising each is: bits per token."""
        vocabulary = vocabularies[self.text].to_plain()
        text = ServedInput(self.text, "text", ("time",), vocabulary)
        output = ServedOutput("surprise", "values", (1,), ("bits per token",))
        return Served(BitsPerToken(self.model), (text,), (output,))

    def served_inputs(self, batch: dict[str, Tensor]) -> tuple[Tensor, ...]:
        return batch[self.text], batch[f"{self.text}_length"]

    def state_of_all_workers(self) -> dict[str, Tensor]:
        return self.carried.state_of_all_workers()

    def take_state(self, state: dict[str, Tensor]) -> None:
        self.carried.take_state(state, next(self.model.parameters()).device)
