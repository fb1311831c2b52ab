"""What a model writes for a split's sources, as text, beside what it should have written."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from modules.datamodules.shard_loader import EvaluationLoader
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.vocabulary import BEGIN, END, Vocabulary
from modules.evaluation.exhibits import AnnotatedImage, Gallery
from modules.evaluation.grid_image import grid_image
from modules.models.recurrent.encoder_decoder import EncoderDecoder
from modules.tasks.sequence_to_sequence import SequenceToSequence

_ROOM = 1.5
"""So many times the tokens of the longest target, and a few more, may be written."""


@dataclass(frozen=True)
class WrittenTexts:
    """A split's texts in its order.

    Attributes:
        sources: as they are read.
        targets: as they should be written.
        written: as they are.
        exact: whether every token is the target's.
        source_length: tokens of each source, without begin and end.
    """

    sources: list[str]
    targets: list[str]
    written: list[str]
    exact: Bool[np.ndarray, " texts"]
    source_length: Int[np.ndarray, " texts"]


def written_texts(
    task: SequenceToSequence,
    data: ShardSet,
    split: str,
    batch_size: int,
    beam_size: int = 1,
    length_penalty: float = 1.0,
) -> WrittenTexts:
    """What the model writes for every source of a split.

    Args:
        task: in evaluation mode.
        data: with the split.
        split: its name.
        batch_size: texts at a time.
        beam_size: 1 = greedy.
        length_penalty: see `modules.generation.beam_search`.
    """
    source, target = data.vocabularies[task.source], data.vocabularies[task.target]
    sources: list[str] = []
    targets: list[str] = []
    written: list[str] = []
    exact: list[bool] = []
    lengths: list[Tensor] = []
    with torch.inference_mode():
        for batch in EvaluationLoader(data.split(split), batch_size):
            most = int(_ROOM * batch[task.target].shape[1]) + 5
            found = task.written(batch, most, beam_size, length_penalty)
            lengths.append(batch[f"{task.source}_length"] - 2)
            sources += map(source.decode, batch[task.source].tolist())
            for true, own in zip(batch[task.target].tolist(), found.tolist(), strict=True):
                targets.append(target.decode(true))
                written.append(target.decode(own))
                exact.append(_inner(true) == _inner(own))
    return WrittenTexts(sources, targets, written, np.array(exact), torch.cat(lengths).numpy())


def _inner(tokens: Sequence[int]) -> list[int]:
    """The tokens between begin and end."""
    kept = list(tokens[1:] if tokens[:1] == [BEGIN] else tokens)
    return kept[: kept.index(END)] if END in kept else kept


def attention_images(
    task: SequenceToSequence, data: ShardSet, numbers: Sequence[int], split: str = "test"
) -> Gallery | None:
    """Where a decoder with attention looked as it wrote some texts of a split; None without attention.

    Args:
        task: in evaluation mode.
        data: with the split.
        numbers: of the texts.
        split: its name.
    """
    if not isinstance(task.model, EncoderDecoder) or task.model.attention is None:
        return None
    source, target = data.vocabularies[task.source], data.vocabularies[task.target]
    images = []
    for number in numbers[: data.split(split).num_samples]:
        read = {
            name: torch.from_numpy(values)
            for name, values in data.split(split).read(np.array([number])).items()
        }
        with torch.inference_mode():
            found = task.written(read, int(_ROOM * read[task.target].shape[1]) + 5)
            given = torch.cat([torch.full_like(found[:, :1], BEGIN), found[:, :-1]], dim=1)
            tokens, length = task.served_inputs(read)
            weights = task.model.attended(tokens, length, given)[1]
        assert weights is not None
        rows = _names(target, found[0].tolist())
        columns = _names(source, read[task.source][0].tolist())
        images.append(
            AnnotatedImage(source.decode(read[task.source][0].tolist()), _grid(weights, rows, columns))
        )
    caption = "A row for each token that is written, a column for each that is read; dark = looked at."
    return Gallery("attention", "What attention looked at", caption, images)


def _grid(weights: Tensor, rows: list[str], columns: list[str]) -> np.ndarray:
    return grid_image(weights[0].float().numpy(), rows, columns)


def _names(vocabulary: Vocabulary, numbers: Sequence[int]) -> list[str]:
    """Of each token; of subwords as they are written, a space before a word being a low line."""
    if vocabulary.kind == "subwords":
        return [
            vocabulary.tokens[number] if number <= END else vocabulary.decode([number]).replace(" ", "_")
            for number in numbers
        ]
    return [vocabulary.tokens[number] for number in numbers]
