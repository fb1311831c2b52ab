"""Every step of a split with its label and a model's answer, end to end, and the words that they make."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from modules.bricks.padding import kept
from modules.datamodules.shard_loader import EvaluationLoader
from modules.datamodules.shard_split import ShardSplit
from modules.datamodules.vocabulary import BEGIN, END


@dataclass(frozen=True)
class LabelledSteps:
    """Sequences end to end.

    Attributes:
        given: number of each step's token.
        truth: of its label.
        answer: of the label that the model gives it.
        sequence: number of the sequence in the split.
    """

    given: Int[np.ndarray, " steps"]
    truth: Int[np.ndarray, " steps"]
    answer: Int[np.ndarray, " steps"]
    sequence: Int[np.ndarray, " steps"]

    @property
    def wrong(self) -> Bool[np.ndarray, " steps"]:
        """Which answers are not the label."""
        return self.truth != self.answer

    def of(self, sequence: int) -> "LabelledSteps":
        """The steps of one sequence."""
        begin, end = np.searchsorted(self.sequence, [sequence, sequence + 1])
        parts = (self.given, self.truth, self.answer, self.sequence)
        return LabelledSteps(*(part[begin:end] for part in parts))


def labelled_steps(
    split: ShardSplit,
    text: str,
    labels: str,
    answers: Callable[[Tensor, Tensor], Tensor],
    batch_size: int,
    leave_out_ends: bool,
) -> LabelledSteps:
    """The steps of a split that are no padding.

    Args:
        split: of the data.
        text: the field of text.
        labels: the field of labels.
        answers: from tokens [batch, time] and lengths [batch] to label numbers [batch, time].
        batch_size: sequences at a time.
        leave_out_ends: whether the begin and the end of a text are left out, which need no answer.
    """
    parts: list[tuple[np.ndarray, ...]] = []
    first = 0
    with torch.inference_mode():
        for batch in EvaluationLoader(split, batch_size):
            tokens, length = batch[text], batch[f"{text}_length"]
            keep = kept(length, tokens)
            if leave_out_ends:
                keep &= (tokens != BEGIN) & (tokens != END)
            sequence = first + torch.arange(len(tokens))[:, None].expand_as(tokens)
            found = (tokens, batch[labels], answers(tokens, length), sequence)
            parts.append(tuple(values[keep].numpy() for values in found))
            first += len(tokens)
    return LabelledSteps(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def words_of(steps: LabelledSteps, tokens: Sequence[str]) -> Int[np.ndarray, " steps"]:
    """The number of the word that each step belongs to, -1 of what stands between words.

    A word is a run of letters and digits within a sequence; an unknown character counts as a letter.

    Args:
        steps: whose tokens are characters.
        tokens: the characters by number, the special ones first.
    """
    is_letter = np.array([len(token) > 1 or token.isalnum() for token in tokens])[steps.given]
    begins = is_letter.copy()
    begins[1:] &= ~is_letter[:-1] | (steps.sequence[1:] != steps.sequence[:-1])
    return np.where(is_letter, begins.cumsum() - 1, -1)
