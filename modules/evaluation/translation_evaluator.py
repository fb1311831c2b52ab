"""Translations: BLEU and chrF of the test split, by the length of a sentence too, and what attention looked
at.

BLEU: Papineni et al. (2002), *BLEU: a method for automatic evaluation of machine translation*; chrF: Popovic
(2015), *chrF: character n-gram F-score for automatic MT evaluation*; both as Post (2018), arXiv 1804.08771,
fixes them (`sacrebleu`, its own tokens), of the whole split at once, 0..100. metrics.json holds:

bleu, chrf                 by beam search
greedy_bleu, greedy_chrf   by greedy decoding
bleu_long, bleu_short      of sentences of more than `long` words in the source, and of the others
copied_bleu, copied_chrf   where the source itself is taken for its translation
retrieved_bleu             where the translation is that of the training source with the most words in common
unknown                    share of the source's tokens that the vocabulary does not have
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from modules.configuration.errors import UserError
from modules.configuration.plans.run_plan import Plan
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.vocabulary import UNKNOWN
from modules.evaluation.exhibits import Exhibit, TextTable
from modules.evaluation.findings import Chart, Findings, Series
from modules.evaluation.written_texts import WrittenTexts, attention_images, written_texts
from modules.tasks.sequence_to_sequence import SequenceToSequence

_BOUNDS = (5, 10, 15, 20, 30, 40, 50)
"""Words of a source, at which groups of sentences end."""
_FEWEST = 20
"""Sentences that a group needs for a score of its own."""
_NUM_SHOWN, _SHOWN_WORDS = 20, 14


class TranslationEvaluator:
    """Translates the test split.

    Args:
        batch_size: sentences at a time.
        beam_size: of the beam search.
        length_penalty: see `modules.generation.beam_search`.
        long: words of a source above which a sentence is long.

    Raises:
        UserError: the beam is below 1.
    """

    metrics: ClassVar[dict[str, Literal["max", "min"]]] = {
        "bleu": "max",
        "chrf": "max",
        "greedy_bleu": "max",
        "greedy_chrf": "max",
        "bleu_long": "max",
        "bleu_short": "max",
        "copied_bleu": "max",
        "copied_chrf": "max",
        "retrieved_bleu": "max",
    }
    charts: ClassVar[tuple[str, ...]] = ("bleu_by_length",)

    def __init__(
        self, batch_size: int = 50, beam_size: int = 5, length_penalty: float = 1.0, long: int = 30
    ) -> None:
        if beam_size < 1:
            raise UserError(f"beam_size={beam_size} keeps no sequence", "Give 1 or more")
        self.batch_size = batch_size
        self.beam_size = beam_size
        self.length_penalty = length_penalty
        self.long = long

    def evaluate(self, task: SequenceToSequence, data: ShardSet, plan: Plan) -> Findings:
        """Scores, a chart of them by length, examples, and where attention looked."""
        greedy = written_texts(task, data, "test", self.batch_size)
        beam = written_texts(task, data, "test", self.batch_size, self.beam_size, self.length_penalty)
        words = np.array([len(source.split()) for source in beam.sources])
        everything, is_long = np.full(len(words), True), words > self.long
        targets = beam.targets
        metrics = _scores("", beam.written, targets) | _scores("greedy_", greedy.written, targets)
        for name, group in {"long": is_long, "short": ~is_long}.items():
            metrics |= {f"bleu_{name}": _bleu(beam.written, targets, group)} if group.any() else {}
        metrics |= _scores("copied_", beam.sources, targets)
        metrics["retrieved_bleu"] = _bleu(_retrieved(task, data, beam.sources), targets, everything)
        metrics |= {"unknown": _unknown(task, data), "num_sentences": float(len(words))}
        lines = {f"a beam of {self.beam_size}": beam.written, "greedy": greedy.written}
        chart = Chart(
            "bleu_by_length",
            "BLEU by length",
            f"Of sentences by how many words the source has; groups of at least {_FEWEST} sentences.",
            "lines",
            "words of the source, up to",
            "BLEU",
            [Series(name, _by_length(written, targets, words)) for name, written in lines.items()],
        )
        exhibits: list[Exhibit] = [_examples(beam)]
        shown = np.flatnonzero(words <= _SHOWN_WORDS)
        spread = shown[np.linspace(0, len(shown) - 1, 4).astype(int)].tolist() if len(shown) else [0]
        if images := attention_images(task, data, list(dict.fromkeys(spread))):
            exhibits.append(images)
        return Findings(metrics, charts=[chart], exhibits=exhibits)


def _scores(prefix: str, written: Sequence[str], targets: Sequence[str]) -> dict[str, float]:
    from sacrebleu import corpus_chrf

    return {
        f"{prefix}bleu": _bleu(written, targets, np.full(len(written), True)),
        f"{prefix}chrf": float(corpus_chrf(list(written), [list(targets)]).score),
    }


def _bleu(written: Sequence[str], targets: Sequence[str], group: np.ndarray) -> float:
    from sacrebleu import corpus_bleu

    chosen = np.flatnonzero(group).tolist()
    return float(corpus_bleu([written[n] for n in chosen], [[targets[n] for n in chosen]]).score)


def _by_length(
    written: Sequence[str], targets: Sequence[str], words: np.ndarray
) -> list[tuple[float, float]]:
    points, above = [], 0
    for bound in (*_BOUNDS, max(int(words.max()), _BOUNDS[-1] + 1)):
        group = (words > above) & (words <= bound)
        if group.sum() >= _FEWEST:
            points.append((float(bound), _bleu(written, targets, group)))
        above = bound
    return points


def _retrieved(task: SequenceToSequence, data: ShardSet, sources: Sequence[str]) -> list[str]:
    """For each source the target of the training source that is most alike: the cosine of their words."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    split = data.split("train")
    batch = split.read(np.arange(split.num_samples))
    known = list(map(data.vocabularies[task.source].decode, batch[task.source].tolist()))
    vectors: Any = TfidfVectorizer(token_pattern=r"\w+")
    train = vectors.fit_transform(known)
    nearest: list[int] = []
    for first in range(0, len(sources), 200):  # a table of all pairs at once takes a gigabyte
        found = vectors.transform(sources[first : first + 200]) @ train.T
        nearest += np.asarray(found.argmax(axis=1)).ravel().tolist()
    target = data.vocabularies[task.target]
    return [target.decode(batch[task.target][number].tolist()) for number in nearest]


def _unknown(task: SequenceToSequence, data: ShardSet) -> float:
    split = data.split("test")
    batch = split.read(np.arange(split.num_samples))
    tokens, length = batch[task.source], batch[f"{task.source}_length"]
    inside = np.arange(tokens.shape[1]) < length[:, None]
    return float((tokens[inside] == UNKNOWN).mean())


def _examples(found: WrittenTexts) -> TextTable:
    """Sentences spread over the split, with how much of each is right."""
    from sacrebleu import sentence_chrf

    scored: dict[int, float] = {}
    for number in np.linspace(0, len(found.exact) - 1, _NUM_SHOWN).astype(int).tolist():
        scored[number] = sentence_chrf(found.written[number], [found.targets[number]]).score
    rows = [
        [found.sources[number], found.targets[number], found.written[number], f"{score:.0f}"]
        for number, score in scored.items()
    ]
    caption = "Spread over the test split, by beam search."
    return TextTable(
        "examples", "Translations", caption, ["source", "reference", "translation", "chrF"], rows
    )
