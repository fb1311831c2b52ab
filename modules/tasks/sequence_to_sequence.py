"""Sequence to sequence: a text is read, another is written, of another length and in other tokens.

Sutskever, Vinyals & Le (2014), arXiv 1409.3215, section 2: the target's probability, token by token, given
the source and the target's own tokens before it. Scheduled sampling (Bengio et al. 2015, arXiv 1506.03099):
some of those tokens are the model's own; which they are is found by a first pass over the true ones
(Mihaylova & Martins 2019, arXiv 1906.07651, section 3).
"""

from typing import TYPE_CHECKING, ClassVar, Literal, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from modules.bricks.padding import kept
from modules.configuration.errors import UserError
from modules.datamodules.vocabulary import BEGIN, END
from modules.generation.beam_search import State, WritesOn, beam_search
from modules.generation.decoding import greedy
from modules.metrics.mean import Mean
from modules.tasks.served import Served, ServedInput, ServedOutput
from modules.tasks.task import Task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modules.configuration.schema.data_settings import DataSettings
    from modules.datamodules.vocabulary import Vocabulary


class GreedyText(nn.Module):
    """Writes the likeliest token each time.

    Args:
        model: see `SequenceToSequence`.
        max_tokens: most tokens that are written, the end included.
    """

    def __init__(self, model: nn.Module, max_tokens: int) -> None:
        super().__init__()
        self.model = model
        self.max_tokens = max_tokens

    def forward(
        self, source: Int[Tensor, "batch time"], length: Int[Tensor, " batch"]
    ) -> Int[Tensor, "batch written"]:
        state: State = self.model.start(source, length)  # pyright: ignore
        return greedy(cast(WritesOn, self.model), torch.full_like(length, BEGIN), state, self.max_tokens, END)


class SequenceToSequence(Task):
    """Learns which token comes next in the target; the loss is the cross-entropy of a token in nats.

    Batches hold two fields of text, each [batch, time] of int64 tokens between begin and end, padded, with
    `<field>_length`, [batch].

    Args:
        model: takes source tokens, their lengths and the target's tokens, and returns the logits of the token
            after each of these, [batch, time, vocab]; `start` and `step` write (see
            `modules.models.recurrent.encoder_decoder`).
        source: the field that is read.
        target: the field that is written.
        max_tokens: most tokens that are written where there is no target.
        sampling: share of the target's tokens that the model's own take the place of in training.
        label_smoothing: share of the target's probability that all tokens have alike.

    Raises:
        UserError: no token may be written, or a share is not in 0..1.
    """

    serves = True
    sequence_form = "many to many"
    inputs_and_outputs = ("a text", "another text")
    validation_metrics: ClassVar[dict[str, Literal["max", "min"]]] = {
        "validation/loss": "min",
        "validation/accuracy": "max",
        "validation/sequence_accuracy": "max",
    }

    def __init__(
        self,
        model: nn.Module,
        source: str = "source",
        target: str = "target",
        max_tokens: int = 60,
        sampling: float = 0.0,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(model)
        _check(max_tokens, sampling, label_smoothing)
        self.source, self.target, self.max_tokens = source, target, max_tokens
        self.sampling, self.label_smoothing = sampling, label_smoothing

    def inputs(self, batch: dict[str, Tensor]) -> Int[Tensor, "batch time"]:
        """The source's tokens."""
        return batch[self.source]

    def loss(self, batch: dict[str, Tensor]) -> Mean:
        given = batch[self.target][:, :-1]
        if self.sampling:
            given = self._sampled(batch, given)
        logits = self._logits(batch, given)
        losses = self._losses(logits, batch, self.label_smoothing)
        return Mean.of(losses, self._keep(batch))

    def validate(self, batch: dict[str, Tensor]) -> dict[str, Mean]:
        """Of tokens; a sequence is right if all of its tokens are, and then greedy decoding writes it."""
        logits, keep = self._logits(batch, batch[self.target][:, :-1]), self._keep(batch)
        right = logits.argmax(dim=2) == batch[self.target][:, 1:]
        return {
            "validation/loss": Mean.of(self._losses(logits, batch), keep),
            "validation/accuracy": Mean.of(right, keep),
            "validation/sequence_accuracy": Mean.of((right | ~keep).all(dim=1)),
        }

    def written(
        self, batch: dict[str, Tensor], max_tokens: int, beam_size: int = 1, length_penalty: float = 1.0
    ) -> Int[Tensor, "batch written"]:
        """What the model writes, up to the end token and with it, then padding.

        Args:
            batch: of raw fields; the target is not looked at.
            max_tokens: most tokens.
            beam_size: 1 = greedy.
            length_penalty: see `modules.generation.beam_search`.
        """
        source, length = self.served_inputs(batch)
        if beam_size == 1:
            return GreedyText(self.model, max_tokens)(source, length)
        state: State = self.model.start(source, length)  # pyright: ignore
        begin = torch.full_like(length, BEGIN)
        model = cast(WritesOn, self.model)
        return beam_search(model, begin, state, max_tokens, END, beam_size, length_penalty)[0]

    def _logits(self, batch: dict[str, Tensor], given: Tensor) -> Float[Tensor, "batch written vocab"]:
        return self.model(*self.served_inputs(batch), given)

    def _keep(self, batch: dict[str, Tensor]) -> Bool[Tensor, "batch written"]:
        return kept(batch[f"{self.target}_length"] - 1, batch[self.target][:, 1:])

    def _losses(
        self, logits: Float[Tensor, "batch written vocab"], batch: dict[str, Tensor], smoothing: float = 0.0
    ) -> Float[Tensor, "batch written"]:
        targets = batch[self.target][:, 1:]
        losses = functional.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), reduction="none", label_smoothing=smoothing
        )
        return losses.view(targets.shape)

    @torch.no_grad()
    def _sampled(self, batch: dict[str, Tensor], given: Tensor) -> Int[Tensor, "batch written"]:
        """The given tokens, some of them as the model would have written them; the begin stays."""
        own = self._logits(batch, given).argmax(dim=2)
        own = torch.cat([given[:, :1], own[:, :-1]], dim=1)
        chosen = torch.rand(given.shape, device=given.device) < self.sampling
        chosen[:, 0] = False
        return torch.where(chosen, own, given)

    def served(self, data: "DataSettings", vocabularies: "Mapping[str, Vocabulary]") -> Served:
        """From text to the text that is written greedily."""
        source, target = vocabularies[self.source].to_plain(), vocabularies[self.target].to_plain()
        given = ServedInput(self.source, "text", ("time",), source)
        output = ServedOutput(self.target, "text", ("written",), vocabulary=target)
        return Served(GreedyText(self.model, self.max_tokens), (given,), (output,))

    def served_inputs(self, batch: dict[str, Tensor]) -> tuple[Tensor, ...]:
        return batch[self.source], batch[f"{self.source}_length"]


def _check(max_tokens: int, sampling: float, label_smoothing: float) -> None:
    """Refuses settings that cannot be; of several wrong ones each is named in a line of its own."""
    faults = []
    if max_tokens < 1:
        faults.append(UserError(f"task.max_tokens={max_tokens} lets no token be written", "Give 1 or more"))
    if not 0 <= sampling <= 1:
        hint = "Give 0 for the target's own tokens alone, up to 1 for the model's alone"
        faults.append(UserError(f"task.sampling={sampling} is no share of the target's tokens", hint))
    if not 0 <= label_smoothing <= 1:
        hint = "Give 0 for none, up to 1; 0.1 is usual"
        faults.append(UserError(f"task.label_smoothing={label_smoothing} is no share of probability", hint))
    if faults:
        raise UserError(faults[0].problem, faults[0].hint, faults[1:])
