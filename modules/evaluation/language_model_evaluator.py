"""Language models: bits per token on whole texts, where in a text they are spent, and beside them what
letters alone would cost."""

from collections.abc import Iterator, Sequence
from math import log
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor

from modules.configuration.plans.run_plan import Plan
from modules.datamodules.shard_loader import EvaluationLoader
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.vocabulary import BEGIN, END, Vocabulary
from modules.evaluation.exhibits import Gallery, TextTable
from modules.evaluation.findings import Chart, Findings, Series
from modules.evaluation.gate_images import gates_over_time
from modules.generation.decoding import NextToken, sample
from modules.tasks.language_modelling import LanguageModelling

_SAMPLES = 2
"""Of each temperature."""


class LanguageModelEvaluator:
    """Reads every text of the test split from its begin to its end, the state carried through.

    A token's bits are the cross-entropy of its prediction; what is predicted are all tokens of a text but
    the first (its begin), the end included.

    Args:
        batch_size: texts at a time, fewer where they are long.
        temperatures: of the samples that are shown, a few each.
        num_tokens: most tokens of a sample.
    """

    metrics: ClassVar[dict[str, Literal["max", "min"]]] = {
        "bits_per_token": "min",
        "perplexity": "min",
        "unigram_bits_per_token": "min",
    }
    charts: ClassVar[tuple[str, ...]] = ("bits_by_place",)

    def __init__(
        self, batch_size: int = 32, temperatures: Sequence[float] = (0.5, 0.8, 1.0), num_tokens: int = 400
    ) -> None:
        self.batch_size = batch_size
        self.temperatures = temperatures
        self.num_tokens = num_tokens

    def evaluate(self, task: LanguageModelling, data: ShardSet, plan: Plan) -> Findings:
        """Bits per token, perplexity, and the bits of a model that knows only how frequent each token is."""
        vocab_size = len(data.vocabularies[task.text])
        counts = torch.ones(vocab_size, dtype=torch.float64)
        for targets, keep in _targets(data, "train", task.text, self.batch_size):
            counts += targets[keep].bincount(minlength=vocab_size)
        unigram_bits = -(counts / counts.sum()).log2()

        total, unigram_total, num_tokens = 0.0, 0.0, 0
        by_place = torch.zeros(2, 0, dtype=torch.float64)
        with torch.inference_mode():
            for batch in EvaluationLoader(data.split("test"), self.batch_size):
                losses, keep = task.token_losses(batch)
                bits = (losses / log(2)).double() * keep
                total += float(bits.sum())
                unigram_total += float(unigram_bits[batch[task.text][:, 1:][keep]].sum())
                num_tokens += int(keep.sum())
                by_place = _longer(by_place, bits.shape[1])
                by_place[0, : bits.shape[1]] += bits.sum(0)
                by_place[1, : bits.shape[1]] += keep.sum(0)
        per_token = total / num_tokens
        chart = Chart(
            "bits_by_place",
            "Bits by place in the text",
            "Bits per token by how many tokens the model has read of the text: what it gains by memory.",
            "lines",
            "tokens read before",
            "bits per token",
            [Series(plan.name, _by_doubled_place(by_place))],
            log_x=True,
        )
        return Findings(
            metrics={
                "bits_per_token": per_token,
                "perplexity": 2**per_token,
                "unigram_bits_per_token": unigram_total / num_tokens,
                "num_tokens": num_tokens,
            },
            charts=[chart],
            exhibits=[self._samples(task, data.vocabularies[task.text], plan.seed), *_gates(task, data)],
        )

    def _samples(self, task: LanguageModelling, vocabulary: Vocabulary, seed: int) -> TextTable:
        """Texts that the model makes up, from the begin token on."""
        generator = torch.Generator().manual_seed(seed)
        begin = torch.full((_SAMPLES,), BEGIN)
        rows = []
        for temperature in self.temperatures:
            made = sample(
                cast(NextToken, task.model), begin, None, self.num_tokens, END, temperature, generator
            )
            rows += [[f"{temperature:g}", vocabulary.decode(tokens)] for tokens in made.tolist()]
        return TextTable(
            "samples",
            "Samples",
            "Texts that the model makes up, a token at a time by its probability; a temperature below 1"
            " makes likely tokens likelier.",
            ["temperature", "text"],
            rows,
        )


def _gates(task: LanguageModelling, data: ShardSet) -> list[Gallery]:
    """Of the first test text."""
    tokens = next(iter(EvaluationLoader(data.split("test"), 1)))[task.text]
    gates = gates_over_time(
        task.model, lambda: task.model(tokens), data.vocabularies[task.text], tokens[0].tolist()
    )
    return [gates] if gates else []


def _targets(data: ShardSet, split: str, text: str, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    for batch in EvaluationLoader(data.split(split), batch_size):
        targets = batch[text][:, 1:]
        yield targets, torch.arange(targets.shape[1]) < batch[f"{text}_length"][:, None] - 1


def _longer(sums: Tensor, length: int) -> Tensor:
    missing = max(0, length - sums.shape[1])
    return torch.cat([sums, sums.new_zeros(len(sums), missing)], dim=1)


def _by_doubled_place(sums: Tensor) -> list[tuple[float, float]]:
    """The mean bits of the places 1, 2-3, 4-7, ... in a text."""
    points, first = [], 1
    while first <= sums.shape[1]:
        bits, count = sums[:, first - 1 : 2 * first - 1].sum(1).tolist()
        points.append((float(first), bits / count))
        first *= 2
    return points
