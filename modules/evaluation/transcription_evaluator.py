"""Transcriptions: the label error, whole texts, and where in an image each label was seen; sounds to play.

metrics.json holds, of the test split:

label_error                   insertions, deletions and replacements by the number of labels: of the best path
sequence_accuracy             share of the texts that it says right as a whole
beam_label_error              the same of prefix beam search
beam_sequence_accuracy        likewise
language_model_label_error    the same of prefix beam search with a language model, if the recipe names one
language_model_sequence_accuracy  likewise
nearest_length_label_error    the same without listening: the text of the training sample whose image or sound
                              is as long, or most nearly, the first of several. Left out where all are of one
                              length. Saying nothing at all is 1
"""

import math
from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
import torch

from modules.configuration.errors import UserError
from modules.configuration.plans.run_plan import Plan
from modules.datamodules.shard_loader import EvaluationLoader
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.shard_split import ShardSplit
from modules.datamodules.vocabulary import PADDING, Vocabulary
from modules.evaluation.exhibits import AnnotatedImage, Box, Exhibit, Gallery, Sound, SoundPlayers, TextTable
from modules.evaluation.findings import Chart, Findings, Series
from modules.evaluation.image_tiles import pixels
from modules.generation.ctc_decoding import Labelling, beam_search, best_path
from modules.generation.decoding import NextToken
from modules.generation.label_language_model import LabelLanguageModel, TrainedLanguageModel
from modules.metrics.edit_distance import edit_distance
from modules.tasks.language_modelling import LanguageModelling
from modules.tasks.task import Task
from modules.tasks.transcription import Transcription

_NUM_SHOWN, _NUM_ROWS = 12, 20


class TranscriptionEvaluator:
    """Reads the test split.

    Args:
        batch_size: images or sounds at a time.
        beam_size: prefixes that beam search keeps.
        language_model: a trained one that beam search asks as well: a registered model
            (`char_lstm@champion`), or a folder of runs/ or build/train/. None = none.
        language_model_weight: of its logarithms: alpha of `modules.generation.ctc_decoding`.
        label_bonus: added for each label beside a language model: beta.

    Raises:
        UserError: the beam is below 1, or a weight is no number.
    """

    metrics: ClassVar[dict[str, Literal["max", "min"]]] = {
        "label_error": "min",
        "sequence_accuracy": "max",
        "beam_label_error": "min",
        "beam_sequence_accuracy": "max",
        "language_model_label_error": "min",
        "language_model_sequence_accuracy": "max",
    }
    asks = "language_model"
    charts: ClassVar[tuple[str, ...]] = ("right_by_length",)

    def __init__(
        self,
        batch_size: int = 100,
        beam_size: int = 10,
        language_model: str | None = None,
        language_model_weight: float = 0.5,
        label_bonus: float = 0.0,
    ) -> None:
        if beam_size < 1:
            raise UserError(f"beam_size={beam_size} keeps no sequence", "Give 1 or more")
        for name, value in (("language_model_weight", language_model_weight), ("label_bonus", label_bonus)):
            if not math.isfinite(value):
                raise UserError(f"{name}={value} is no number", "Give one such as 0.5")
        self.batch_size = batch_size
        self.beam_size = beam_size
        self.language_model = language_model
        self.language_model_weight, self.label_bonus = language_model_weight, label_bonus
        self._taken: TrainedLanguageModel | None = None

    def take(self, task: Task, vocabularies: Mapping[str, Vocabulary]) -> None:
        """See `modules.evaluation.evaluator.AsksTrainedModel`.

        Raises:
            UserError: it is no language model, or goes on in another way than token by token.
        """
        if not isinstance(task, LanguageModelling):
            raise UserError(
                f"language_model={self.language_model} was trained for {type(task).__name__}, and is no"
                " language model",
                "Name one such as build/train/char_lstm",
            )
        if not isinstance(task.model, NextToken):
            raise UserError(
                f"{type(task.model).__name__} does not go on token by token", "Take a recurrent one"
            )
        self._taken = TrainedLanguageModel(task.model, vocabularies[task.text])

    def evaluate(self, task: Transcription, data: ShardSet, plan: Plan) -> Findings:
        """The errors, a chart of them by length, examples; sounds, or images with each label's place."""
        vocabulary = data.vocabularies[task.text]
        asked = None if self._taken is None else LabelLanguageModel(self._taken, vocabulary)
        errors: list[int] = []
        of_beam: list[int] = []
        with_model: list[int] = []
        lengths: list[int] = []
        rows: list[list[str]] = []
        with torch.inference_mode():
            for batch in EvaluationLoader(data.split("test"), self.batch_size):
                targets, length = task.targets(batch)
                logits, frames = task.model(*task.served_inputs(batch))
                found = best_path(logits, frames).tokens.tolist()
                right = [
                    true[:labels] for true, labels in zip(targets.tolist(), length.tolist(), strict=True)
                ]
                of_beam += _edits(beam_search(logits, frames, self.beam_size), right)
                if asked is not None:
                    searched = beam_search(
                        logits,
                        frames,
                        self.beam_size,
                        language_model=asked,
                        alpha=self.language_model_weight,
                        beta=self.label_bonus,
                    )
                    with_model += _edits(searched, right)
                for own, true in zip(found, right, strict=True):
                    said = [token for token in own if token != PADDING]
                    errors.append(edit_distance(said, true))
                    lengths.append(len(true))
                    rows.append([vocabulary.decode(true), vocabulary.decode(said), str(errors[-1])])
        wrong, size = np.array(errors), np.array(lengths)
        metrics = {**_rates("", errors, lengths), **_rates("beam_", of_beam, lengths)}
        if asked is not None:
            metrics |= _rates("language_model_", with_model, lengths)
        metrics |= {**_nearest_length(task, data), "num_labels": float(size.sum())}
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
        return Findings(metrics, charts=[chart], exhibits=exhibits)


def _edits(found: list[list[Labelling]], right: list[list[int]]) -> list[int]:
    """Of the best labelling of each sample."""
    pairs = zip(found, right, strict=True)
    return [edit_distance(labellings[0].tokens, true) for labellings, true in pairs]


def _rates(prefix: str, errors: list[int], lengths: list[int]) -> dict[str, float]:
    wrong = np.array(errors)
    return {
        f"{prefix}label_error": float(wrong.sum() / max(sum(lengths), 1)),
        f"{prefix}sequence_accuracy": float((wrong == 0).mean()),
    }


def _nearest_length(task: Transcription, data: ShardSet) -> dict[str, float]:
    """The label error of the text of the training sample of the nearest length; empty if all are of one."""
    train, test = data.split("train"), data.split("test")
    if not train.fields[task.source].symbols:
        return {}
    # The last symbol: the time of a sound, the width of an image.
    known, asked = (split.sizes(task.source)[:, -1] for split in (train, test))
    nearest = np.array([np.abs(known - length).argmin() for length in asked])
    edits, labels = 0, 0
    for guessed, true in zip(_texts(train, task.text, nearest), _texts(test, task.text), strict=True):
        edits += edit_distance(guessed, true)
        labels += len(true)
    return {"nearest_length_label_error": edits / max(labels, 1)}


def _texts(split: ShardSplit, field: str, numbers: np.ndarray | None = None) -> list[list[int]]:
    """The texts of some samples, or all, without begin and end; nothing else of them is read."""
    chosen = np.arange(split.num_samples) if numbers is None else numbers
    longest = int(split.sizes(field)[chosen].max())
    tokens, lengths = split.read_windows(field, chosen[None], np.zeros((1, len(chosen)), np.int64), longest)
    rows = zip(tokens[0].tolist(), lengths[0].tolist(), strict=True)
    return [row[1 : length - 1] for row, length in rows]


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
