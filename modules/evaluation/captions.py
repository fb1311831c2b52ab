"""What a model writes of the images or clips of a split, beside everything that would be right."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from modules.datamodules.scene_grammar import SEPARATOR
from modules.datamodules.shard_loader import EvaluationLoader
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.shard_split import ShardSplit
from modules.metrics.cider import cider
from modules.tasks.sequence_to_sequence import SequenceToSequence

REFERENCES = "references"
"""The field that holds every right text of a sample, with `|` between; without it there is one, the
target."""


@dataclass(frozen=True)
class Captions:
    """A split's captions in its order.

    Attributes:
        written: greedily.
        of_beam: by beam search.
        references: what would be right; the target's own text where there is no more.
    """

    written: list[str]
    of_beam: list[str]
    references: list[list[str]]

    def scores(self) -> dict[str, float]:
        """Shares of captions that are right word by word, BLEU and CIDEr."""
        return text_scores("", self.written, self.references) | {
            "beam_exact": exact_share(self.of_beam, self.references),
            "beam_bleu": bleu(self.of_beam, self.references),
        }


def captions_of(
    task: SequenceToSequence, data: ShardSet, split: str, batch_size: int, beam_size: int
) -> Captions:
    """What a model writes for all samples of a split.

    Args:
        task: in evaluation mode.
        data: with the split.
        split: its name.
        batch_size: samples at a time.
        beam_size: of the beam search.
    """
    vocabulary = data.vocabularies[task.target]
    written: list[str] = []
    of_beam: list[str] = []
    with torch.inference_mode():
        for batch in EvaluationLoader(data.split(split), batch_size):
            written += map(vocabulary.decode, task.written(batch, task.max_tokens).tolist())
            found = task.written(batch, task.max_tokens, beam_size)
            of_beam += map(vocabulary.decode, found.tolist())
    return Captions(written, of_beam, references_of(task.target, data, split))


def references_of(target: str, data: ShardSet, split: str) -> list[list[str]]:
    """The right texts of each sample of a split.

    Args:
        target: the field with one of them.
        data: with the split.
        split: its name.
    """
    field = REFERENCES if REFERENCES in data.vocabularies else target
    found: list[list[str]] = []
    for batch in _batches(data.split(split)):
        texts = map(data.vocabularies[field].decode, batch[field].tolist())
        found += [[one.strip() for one in text.split(SEPARATOR)] for text in texts]
    return found


def nearest_captions(task: SequenceToSequence, data: ShardSet, split: str, batch_size: int) -> list[str]:
    """For each sample of a split the target of the training sample that looks most alike: the largest cosine
    of the means of what the decoder is given to look at.

    Args:
        task: in evaluation mode; its model has `places`.
        data: with the split.
        split: its name.
        batch_size: samples at a time.
    """
    known, texts = _means(task, data, "train", batch_size)
    own, _ = _means(task, data, split, batch_size)
    nearest = torch.cat([(some @ known.T).argmax(dim=1) for some in own.split(1000)])
    return [texts[number] for number in nearest.tolist()]


def text_scores(prefix: str, written: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """Shares of texts that are right word by word, BLEU (0..100) and CIDEr (0..10)."""
    return {
        f"{prefix}exact": exact_share(written, references),
        f"{prefix}bleu": bleu(written, references),
        f"{prefix}cider": float(np.mean(cider(written, references))),
    }


def exact_share(written: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """The share of texts that are among what is right."""
    return float(np.mean([text in some for text, some in zip(written, references, strict=True)]))


def bleu(written: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """BLEU by sacrebleu, 0..100, against several references a sample."""
    from sacrebleu import corpus_bleu

    most = max(map(len, references))
    rows = [[some[n] if n < len(some) else some[0] for some in references] for n in range(most)]
    return float(corpus_bleu(list(written), rows).score)


def _means(task: SequenceToSequence, data: ShardSet, split: str, batch_size: int) -> tuple[Tensor, list[str]]:
    """What the decoder looks at in the mean, of length 1, and the text of each sample."""
    found: list[Tensor] = []
    texts: list[str] = []
    with torch.inference_mode():
        for batch in EvaluationLoader(data.split(split), batch_size):
            texts += map(data.vocabularies[task.target].decode, batch[task.target].tolist())
            places, keep = task.model.places(*task.served_inputs(batch))  # pyright: ignore
            mean = (places * keep[..., None]).sum(dim=1) / keep.sum(dim=1, keepdim=True)
            found.append(torch.nn.functional.normalize(mean.float(), dim=1))
    return torch.cat(found), texts


def _batches(split: ShardSplit) -> Iterable[dict[str, np.ndarray]]:
    for first in range(0, split.num_samples, 500):
        yield split.read(np.arange(first, min(first + 500, split.num_samples)))
