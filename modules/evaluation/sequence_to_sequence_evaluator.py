"""Sequence to sequence: how many are written exactly, by their length, greedily and by a beam, and where
attention looked.

metrics.json holds, of the test split:

sequence_accuracy           share of the sequences that greedy decoding writes exactly
beam_sequence_accuracy      the same by beam search
token_accuracy              share of the tokens that are right where the true ones before them are given
longer_sequence_accuracy    greedily, of the split `longer`, where the data has one: beyond what was learned
"""

from typing import ClassVar, Literal

import numpy as np
import torch

from modules.configuration.errors import UserError
from modules.configuration.plans.run_plan import Plan
from modules.datamodules.shard_loader import EvaluationLoader
from modules.datamodules.shard_set import ShardSet
from modules.evaluation.exhibits import Exhibit, TextTable
from modules.evaluation.findings import Chart, Findings, Series
from modules.evaluation.written_texts import WrittenTexts, attention_images, written_texts
from modules.metrics.mean import Mean, add_up
from modules.tasks.sequence_to_sequence import SequenceToSequence

LONGER = "longer"
_NUM_SHOWN = 20


class SequenceToSequenceEvaluator:
    """Writes what the test split asks for, token by token.

    Args:
        batch_size: sequences at a time.
        beam_size: of the beam search.

    Raises:
        UserError: the beam is below 1.
    """

    metrics: ClassVar[dict[str, Literal["max", "min"]]] = {
        "sequence_accuracy": "max",
        "beam_sequence_accuracy": "max",
        "token_accuracy": "max",
        "longer_sequence_accuracy": "max",
    }
    charts: ClassVar[tuple[str, ...]] = ("exact_by_length",)

    def __init__(self, batch_size: int = 200, beam_size: int = 5) -> None:
        if beam_size < 1:
            raise UserError(f"beam_size={beam_size} keeps no sequence", "Give 1 or more")
        self.batch_size = batch_size
        self.beam_size = beam_size

    def evaluate(self, task: SequenceToSequence, data: ShardSet, plan: Plan) -> Findings:
        """Shares of exact sequences, a chart of them by length, examples, and what attention looked at."""
        found = written_texts(task, data, "test", self.batch_size)
        beam = written_texts(task, data, "test", self.batch_size, self.beam_size)
        metrics = {
            "sequence_accuracy": float(found.exact.mean()),
            "beam_sequence_accuracy": float(beam.exact.mean()),
            "token_accuracy": _token_accuracy(task, data, self.batch_size),
            "num_sequences": float(len(found.exact)),
        }
        series = [
            Series("greedy", _by_length(found)),
            Series(f"a beam of {self.beam_size}", _by_length(beam)),
        ]
        if LONGER in data.splits:
            beyond = written_texts(task, data, LONGER, self.batch_size)
            metrics["longer_sequence_accuracy"] = float(beyond.exact.mean())
            series.append(Series("greedy, longer than any in training", _by_length(beyond)))
        chart = Chart(
            "exact_by_length",
            "Exact sequences by length",
            "Share of the sequences of which every token is right, by how many tokens the source has.",
            "lines",
            "tokens of the source",
            "share written exactly",
            series,
        )
        exhibits: list[Exhibit] = [_examples(found)]
        if images := attention_images(task, data, [0, 1, 2]):
            exhibits.append(images)
        return Findings(metrics, charts=[chart], exhibits=exhibits)


def _token_accuracy(task: SequenceToSequence, data: ShardSet, batch_size: int) -> float:
    means: dict[str, Mean] = {}
    with torch.inference_mode():
        for batch in EvaluationLoader(data.split("test"), batch_size):
            add_up(means, task.validate(batch))
    return means["validation/accuracy"].value


def _by_length(found: WrittenTexts) -> list[tuple[float, float]]:
    lengths = np.unique(found.source_length)
    return [(float(n), float(found.exact[found.source_length == n].mean())) for n in lengths]


def _examples(found: WrittenTexts) -> TextTable:
    """Some that are wrong, then some spread over the split."""
    wrong = np.flatnonzero(~found.exact)[: _NUM_SHOWN // 2].tolist()
    spread = np.linspace(0, len(found.exact) - 1, _NUM_SHOWN // 2).astype(int).tolist()
    rows = [_row(found, number) for number in dict.fromkeys([*wrong, *spread])]
    caption = "First some that are not exact, then some spread over the test split."
    return TextTable("examples", "Sequences", caption, ["source", "target", "written"], rows)


def _row(found: WrittenTexts, number: int) -> list[str]:
    return [found.sources[number], found.targets[number], found.written[number]]
