"""Transcriptions: the label error, whole texts, and where in an image each label was seen; sounds to play.

metrics.json holds, of the test split:

label_error               insertions, deletions and replacements by the number of labels: of the best path
sequence_accuracy         share of the texts that it says right as a whole
beam_label_error          the same of prefix beam search
beam_sequence_accuracy    likewise
"""

from typing import ClassVar, Literal

import numpy as np
import torch

from modules.configuration.errors import UserError
from modules.configuration.plans.run_plan import Plan
from modules.datamodules.shard_loader import EvaluationLoader
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.vocabulary import PADDING
from modules.evaluation.exhibits import AnnotatedImage, Box, Exhibit, Gallery, Sound, SoundPlayers, TextTable
from modules.evaluation.findings import Chart, Findings, Series
from modules.evaluation.image_tiles import pixels
from modules.generation.ctc_decoding import beam_search, best_path
from modules.metrics.edit_distance import edit_distance
from modules.tasks.transcription import Transcription

_NUM_SHOWN, _NUM_ROWS = 12, 20


class TranscriptionEvaluator:
    """Reads the test split.

    Args:
        batch_size: images or sounds at a time.
        beam_size: prefixes that beam search keeps.

    Raises:
        UserError: the beam is below 1.
    """

    metrics: ClassVar[dict[str, Literal["max", "min"]]] = {
        "label_error": "min",
        "sequence_accuracy": "max",
        "beam_label_error": "min",
        "beam_sequence_accuracy": "max",
    }
    charts: ClassVar[tuple[str, ...]] = ("right_by_length",)

    def __init__(self, batch_size: int = 100, beam_size: int = 10) -> None:
        if beam_size < 1:
            raise UserError(f"beam_size={beam_size} keeps no sequence", "Give 1 or more")
        self.batch_size = batch_size
        self.beam_size = beam_size

    def evaluate(self, task: Transcription, data: ShardSet, plan: Plan) -> Findings:
        """The errors, a chart of them by length, examples; sounds, or images with each label's place."""
        vocabulary = data.vocabularies[task.text]
        errors: list[int] = []
        of_beam: list[int] = []
        lengths: list[int] = []
        rows: list[list[str]] = []
        with torch.inference_mode():
            for batch in EvaluationLoader(data.split("test"), self.batch_size):
                targets, length = task.targets(batch)
                logits, frames = task.model(*task.served_inputs(batch))
                found = best_path(logits, frames).tokens.tolist()
                likeliest = beam_search(logits, frames, self.beam_size)
                pairs = zip(found, likeliest, targets.tolist(), length.tolist(), strict=True)
                for own, labellings, true, labels in pairs:
                    said = [token for token in own if token != PADDING]
                    errors.append(edit_distance(said, true[:labels]))
                    of_beam.append(edit_distance(labellings[0].tokens, true[:labels]))
                    lengths.append(labels)
                    rows.append([vocabulary.decode(true), vocabulary.decode(said), str(errors[-1])])
        wrong, beam, size = np.array(errors), np.array(of_beam), np.array(lengths)
        metrics = {
            "label_error": wrong.sum() / max(size.sum(), 1),
            "sequence_accuracy": (wrong == 0).mean(),
            "beam_label_error": beam.sum() / max(size.sum(), 1),
            "beam_sequence_accuracy": (beam == 0).mean(),
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
        boxes = []
        found = best_path(logits, frames)
        spans = zip(*(one[0].tolist() for one in (found.tokens, found.starts, found.ends)), strict=True)
        for token, begin, end in spans:
            name = vocabulary.tokens[token]
            boxes.append(Box(begin * step, 0, end * step, float(image.shape[1]), name))
        read = vocabulary.decode(found.tokens[0].tolist())
        true = vocabulary.decode(batch[task.text][0].tolist())
        label = read if read == true else f"{read} (right: {true})"
        images.append(AnnotatedImage(label, pixels(image), boxes))
    caption = "The frames in which the network says each label; between them it says the blank."
    return Gallery("places", "Where each label was seen", caption, images)
