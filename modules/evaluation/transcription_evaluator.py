"""Transcriptions: the label error, whole texts, and where in an image each label was seen; sounds to play.

metrics.json holds, of the test split and the most probable path:

label_error          insertions, deletions and replacements by the number of labels
sequence_accuracy    share of the texts that are right as a whole
"""

from collections import Counter
from typing import ClassVar, Literal

import numpy as np
import torch

from modules.configuration.plans.run_plan import Plan
from modules.datamodules.shard_loader import EvaluationLoader
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.vocabulary import PADDING
from modules.evaluation.exhibits import AnnotatedImage, Box, Exhibit, Gallery, Sound, SoundPlayers, TextTable
from modules.evaluation.findings import Chart, Findings, Series
from modules.evaluation.image_tiles import pixels
from modules.generation.best_path import best_path, spans
from modules.metrics.edit_distance import edit_distance
from modules.tasks.transcription import Transcription

_NUM_SHOWN, _NUM_ROWS = 12, 20


class TranscriptionEvaluator:
    """Reads the test split.

    Args:
        batch_size: images or sounds at a time.
    """

    metrics: ClassVar[dict[str, Literal["max", "min"]]] = {"label_error": "min", "sequence_accuracy": "max"}

    def __init__(self, batch_size: int = 100) -> None:
        self.batch_size = batch_size

    def evaluate(self, task: Transcription, data: ShardSet, plan: Plan) -> Findings:
        """The errors, a chart of them by length, examples; sounds, or images with each label's place."""
        vocabulary = data.vocabularies[task.text]
        errors: list[int] = []
        lengths: list[int] = []
        rows: list[list[str]] = []
        with torch.inference_mode():
            for batch in EvaluationLoader(data.split("test"), self.batch_size):
                targets, length = task.targets(batch)
                found = best_path(*task.model(*task.served_inputs(batch)))
                for own, true, labels in zip(found.tolist(), targets.tolist(), length.tolist(), strict=True):
                    said = [token for token in own if token != PADDING]
                    errors.append(edit_distance(said, true[:labels]))
                    lengths.append(labels)
                    rows.append([vocabulary.decode(true), vocabulary.decode(said), str(errors[-1])])
        wrong, size = np.array(errors), np.array(lengths)
        metrics = {
            "label_error": wrong.sum() / max(size.sum(), 1),
            "sequence_accuracy": (wrong == 0).mean(),
            "num_labels": size.sum(),
        }
        points = [(float(n), float((wrong[size == n] == 0).mean())) for n in np.unique(size)]
        chart = Chart(
            "right_by_length",
            "Whole texts by length",
            "Share of the texts of which every label is right, by how many there are.",
            "lines",
            "labels",
            "share right",
            [Series(plan.name, points)],
        )
        rate = plan.data.fields[task.source].sample_rate_hz
        shown = _shown(wrong)
        found = _places(task, data, shown) if rate is None else _players(task, data, shown, rows, rate)
        exhibits: list[Exhibit] = [_examples(rows, wrong), found]
        return Findings(
            {name: float(value) for name, value in metrics.items()}, charts=[chart], exhibits=exhibits
        )


def _examples(rows: list[list[str]], wrong: np.ndarray) -> TextTable:
    """The worst, and some spread over the split."""
    worst = [n for n in np.argsort(-wrong, kind="stable").tolist() if wrong[n]][: _NUM_ROWS // 2]
    spread = np.linspace(0, len(rows) - 1, _NUM_ROWS // 2).astype(int).tolist()
    chosen = [rows[number] for number in dict.fromkeys([*worst, *spread])]
    caption = "First those with the most mistakes, then some spread over the test split."
    return TextTable("examples", "Texts", caption, ["text", "read", "mistakes"], chosen)


def _shown(wrong: np.ndarray) -> list[int]:
    """Some samples, wrong ones first."""
    bad = np.flatnonzero(wrong)[: _NUM_SHOWN // 3].tolist()
    spread = np.linspace(0, len(wrong) - 1, _NUM_SHOWN - len(bad)).astype(int).tolist()
    return list(dict.fromkeys([*bad, *spread]))


def _players(
    task: Transcription, data: ShardSet, shown: list[int], rows: list[list[str]], rate: int
) -> SoundPlayers:
    """Sounds with what was read in them, and what was said where that is another text."""
    split, sounds = data.split("test"), []
    for number in shown:
        sample = split.read(np.array([number]))
        true, read, _ = rows[number]
        label = read if read == true else f"{read} (right: {true})"
        sounds.append(Sound(label, sample[task.source][0].astype(np.float32), rate))
    return SoundPlayers("sounds", "What was heard", "Sounds of the test split, misheard ones first.", sounds)


def _places(task: Transcription, data: ShardSet, shown: list[int]) -> Gallery:
    """Images with a box over the columns in which each label was said."""
    vocabulary, split = data.vocabularies[task.text], data.split("test")
    images = []
    for number in shown:
        batch = {name: torch.from_numpy(values) for name, values in split.read(np.array([number])).items()}
        with torch.inference_mode():
            logits, frames = task.model(*task.served_inputs(batch))
        image = task.inputs(batch)[0]
        step = image.shape[2] / int(frames[0])
        counts: Counter[str] = Counter()
        boxes = []
        for token, begin, end in spans(logits[0, : int(frames[0])]):
            name = vocabulary.tokens[token]
            counts[name] += 1
            boxes.append(Box(begin * step, 0, end * step, float(image.shape[1]), name))
        read = vocabulary.decode([token for token, _, _ in spans(logits[0, : int(frames[0])])])
        true = vocabulary.decode(batch[task.text][0].tolist())
        label = read if read == true else f"{read} (right: {true})"
        images.append(AnnotatedImage(label, pixels(image), boxes))
    caption = "The frames in which the network says each label; between them it says the blank."
    return Gallery("places", "Where each label was seen", caption, images)
