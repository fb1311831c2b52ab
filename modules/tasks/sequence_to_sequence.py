"""Sequence to sequence: a text is written of what is read: a text, an image, a clip.

Sutskever, Vinyals & Le (2014), arXiv 1409.3215, section 2: the target's probability, token by token, given
the source and the target's own tokens before it. Scheduled sampling (Bengio et al. 2015, arXiv 1506.03099):
some of those tokens are the model's own; which they are is found by a first pass over the true ones
(Mihaylova & Martins 2019, arXiv 1906.07651, section 3). Attention that looks everywhere once (Xu et al. 2015,
arXiv 1502.03044, section 4.2.1, equation 14): (1 - sum_t a_ti)^2, summed over places i, is added to the loss.
"""

from typing import TYPE_CHECKING, ClassVar, Literal, cast

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn
from torch.nn import functional

from modules.bricks.padding import kept
from modules.configuration.errors import UserError
from modules.datamodules.vocabulary import BEGIN, END
from modules.generation.beam_search import State, WritesOn, beam_search
from modules.generation.decoding import greedy
from modules.metrics.mean import Mean
from modules.tasks.image_inputs import image_inputs, images_and_sizes, served_image
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

    def forward(self, source: Tensor, length: Tensor | None = None) -> Int[Tensor, "batch written"]:
        # By name, not as *length: an exported program counts its arguments.
        state: State = self.model.start(*_given(source, length))  # pyright: ignore
        begin = torch.full_like(source.flatten(1)[:, 0], BEGIN, dtype=torch.int64)
        return greedy(cast(WritesOn, self.model), begin, state, self.max_tokens, END)


class SequenceToSequence(Task):
    """Learns which token comes next in the target; the loss is the cross-entropy of a token in nats.

    Batches hold two fields. The target is a text, [batch, time] of int64 tokens between begin and end,
    padded, with `<field>_length`, [batch]. The source is another, or an image, [batch, channels, height,
    width], or a clip, [batch, frames, channels, height, width]; where it differs in size its length lies
    beside it as well.

    Args:
        model: takes the source, its lengths if it has some, and the target's tokens, and returns the logits
            of the token after each of these, [batch, time, vocab]; `start` and `step` write, `attended` says
            where it looked as well (see `modules.models.recurrent.encoder_decoder`).
        source: the field that is read.
        target: the field that is written.
        max_tokens: most tokens that are written where there is no target.
        sampling: share of the target's tokens that the model's own take the place of in training.
        label_smoothing: share of the target's probability that all tokens have alike.
        attention_penalty: weight of the penalty that has attention look at each place once in all.
        augmentation: changes the images of each batch in training, all frames of a clip alike; None = images
            as they are.

    Raises:
        UserError: no token may be written, or a share is not in 0..1.
    """

    serves = True
    sequence_form = "many to many"
    inputs_and_outputs = ("a text, or a clip", "another text")
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
        attention_penalty: float = 0.0,
        augmentation: nn.Module | None = None,
    ) -> None:
        super().__init__(model)
        _check(max_tokens, sampling, label_smoothing, attention_penalty)
        self.source, self.target, self.max_tokens = source, target, max_tokens
        self.sampling, self.label_smoothing = sampling, label_smoothing
        self.attention_penalty = attention_penalty
        self.augmentation = augmentation

    def inputs(self, batch: dict[str, Tensor]) -> Shaped[Tensor, "batch ..."]:
        """The source: tokens as they are, images in 0..1, maps in the default floating-point type; in
        training images changed by the augmentation.
        """
        given = batch[self.source]
        if given.dtype == torch.int64:
            return given
        images = image_inputs(given)
        if self.augmentation is None or not self.training:
            return images
        frames_beside_channels = images.flatten(1, -3)
        return self.augmentation(frames_beside_channels).view_as(images)

    def loss(self, batch: dict[str, Tensor]) -> Mean:
        given = batch[self.target][:, :-1]
        if self.sampling:
            given = self._sampled(batch, given)
        if not self.attention_penalty:
            losses = self._losses(self._logits(batch, given), batch, self.label_smoothing)
            return Mean.of(losses, self._keep(batch))
        logits, weights = self.model.attended(*self.served_inputs(batch), given)  # pyright: ignore
        if weights is None:
            raise UserError(
                f"task.attention_penalty={self.attention_penalty:g}, and the model has no attention",
                "Set it to 0, or give the model attention",
            )
        keep = self._keep(batch)
        looked = (weights * keep[..., None]).sum(dim=1)
        penalty = (1 - looked).square().sum(dim=1)
        found = Mean.of(self._losses(logits, batch, self.label_smoothing), keep)
        # One for each text, shared among its tokens: the loss is counted in tokens.
        return Mean(found.total + self.attention_penalty * penalty.sum(), found.count)

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
        given = self.served_inputs(batch)
        if beam_size == 1:
            return GreedyText(self.model, max_tokens)(*given)
        state: State = self.model.start(*given)  # pyright: ignore
        begin = torch.full_like(given[0].flatten(1)[:, 0], BEGIN, dtype=torch.int64)
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
        """From what is read to the text that is written greedily."""
        target = vocabularies[self.target].to_plain()
        if self.source in vocabularies:
            given = ServedInput(self.source, "text", ("time",), vocabularies[self.source].to_plain())
        else:
            given = served_image(data, self.inputs, self.source)
        output = ServedOutput(self.target, "text", ("written",), vocabulary=target)
        return Served(GreedyText(self.model, self.max_tokens), (given,), (output,))

    def served_inputs(self, batch: dict[str, Tensor]) -> tuple[Tensor, ...]:
        return images_and_sizes(self.inputs(batch), batch, self.source)


def _given(source: Tensor, length: Tensor | None) -> tuple[Tensor, ...]:
    return (source,) if length is None else (source, length)


def _check(max_tokens: int, sampling: float, label_smoothing: float, attention_penalty: float) -> None:
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
    if attention_penalty < 0:
        faults.append(
            UserError(f"task.attention_penalty={attention_penalty:g} is negative", "Give 0 for none")
        )
    if faults:
        raise UserError(faults[0].problem, faults[0].hint, faults[1:])
