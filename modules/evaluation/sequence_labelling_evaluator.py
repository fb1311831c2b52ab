"""Labels of steps: how many steps, whole sequences and words are right, and which labels are taken for which.

Where text and labels are both text, a step is *changed* whose label is another token than its input, such as
a letter that gets an accent. Words are of characters alone. Beside the network stands what needs none: each
word as it was most often labelled in training.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from torch import Tensor

from modules.configuration.plans.run_plan import Plan
from modules.datamodules.shard_loader import EvaluationLoader
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.vocabulary import Vocabulary
from modules.evaluation.classification_evaluator import classes_of
from modules.evaluation.exhibits import Gallery, TextTable
from modules.evaluation.findings import Findings
from modules.evaluation.gate_images import gates_over_time
from modules.evaluation.labelled_steps import LabelledSteps, labelled_steps, words_of
from modules.tasks.sequence_labelling import SequenceLabelling

_NUM_SHOWN = 20
_NUM_LABELS = 40
"""Rows of the two tables."""


class SequenceLabellingEvaluator:
    """Labels the test split as what is served does.

    Args:
        batch_size: sequences at a time.
    """

    metrics: ClassVar[dict[str, Literal["max", "min"]]] = {
        "accuracy": "max",
        "sequence_accuracy": "max",
        "changed_accuracy": "max",
        "wrongly_changed": "min",
        "word_accuracy": "max",
        "changed_word_accuracy": "max",
        "lookup_word_accuracy": "max",
    }

    def __init__(self, batch_size: int = 100) -> None:
        self.batch_size = batch_size

    def evaluate(self, task: SequenceLabelling, data: ShardSet, plan: Plan) -> Findings:
        """Accuracies; of texts those of changed steps, of characters those of words.

        Raises:
            UserError: the labels are neither text nor classes, or the split is empty.
        """
        text, labels = data.vocabularies[task.source], data.vocabularies.get(task.labels)
        names = list(labels.tokens) if labels else classes_of(plan.data.fields, task.labels)
        is_characters = labels is not None and labels.kind == text.kind == "characters"
        module = task.served(plan.data, data.vocabularies).module
        steps = labelled_steps(
            data.split("test"), task.source, task.labels, module, self.batch_size, labels is not None
        )
        wrong = steps.wrong
        num_sequences = data.split("test").num_samples
        wrong_of_sequence = np.bincount(steps.sequence, wrong, num_sequences)
        metrics = {
            "accuracy": 1 - wrong.mean(),
            "sequence_accuracy": (wrong_of_sequence == 0).mean(),
            "num_steps": len(wrong),
        }
        if labels is not None:
            changed = np.array(text.tokens)[steps.given] != np.array(names)[steps.truth]
            # Of an answer that stays what was given, nothing is changed.
            kept = np.array(text.tokens)[steps.given] == np.array(names)[steps.answer]
            metrics |= _share("changed_accuracy", ~wrong[changed])
            metrics |= _share("wrongly_changed", ~kept[~changed])
            if is_characters:
                metrics |= _of_words(steps, changed, words_of(steps, text.tokens))
                metrics |= _by_lookup(task, data, steps, self.batch_size)
        glue = "" if is_characters else " "
        tables = [
            _examples(steps, wrong_of_sequence, text.tokens, names, glue),
            accuracy_by_label(steps, names),
        ]
        gates = _gates(task, data, text)
        exhibits = [*tables, *([gates] if gates else [])]
        return Findings({name: float(value) for name, value in metrics.items()}, exhibits=exhibits)


def _gates(task: SequenceLabelling, data: ShardSet, text: Vocabulary) -> Gallery | None:
    """Of the first test text."""
    batch = next(iter(EvaluationLoader(data.split("test"), 1)))
    tokens, length = batch[task.source], batch[f"{task.source}_length"]
    return gates_over_time(task.model, lambda: task.model(tokens, length), text, tokens[0].tolist())


def _share(name: str, values: np.ndarray) -> dict[str, float]:
    """The mean, where there is anything to take it of."""
    return {name: float(values.mean())} if len(values) else {}


def _of_words(steps: LabelledSteps, changed: np.ndarray, words: np.ndarray) -> dict[str, float]:
    inside = words >= 0
    right = np.bincount(words[inside], steps.wrong[inside]) == 0
    with_change = np.bincount(words[inside], changed[inside]) > 0
    found = _share("word_accuracy", right) | _share("changed_word_accuracy", right[with_change])
    return found | {"num_words": len(right), "num_changed_words": int(with_change.sum())}


def _by_lookup(
    task: SequenceLabelling, data: ShardSet, steps: LabelledSteps, batch_size: int
) -> dict[str, float]:
    """The share of words that are right if each is labelled as it most often was in the training split; one
    that did not come there stays as it is given."""
    text, labels = data.vocabularies[task.source].tokens, data.vocabularies[task.labels].tokens

    def unanswered(tokens: Tensor, length: Tensor) -> Tensor:
        return tokens

    learned: dict[str, Counter[str]] = defaultdict(Counter)
    train = labelled_steps(data.split("train"), task.source, task.labels, unanswered, batch_size, True)
    for given, truth in _words(train, text, labels):
        learned[given][truth] += 1
    usual = {given: counts.most_common(1)[0][0] for given, counts in learned.items()}
    right = [usual.get(given, given) == truth for given, truth in _words(steps, text, labels)]
    return _share("lookup_word_accuracy", np.array(right))


def _words(steps: LabelledSteps, text: Sequence[str], labels: Sequence[str]) -> list[tuple[str, str]]:
    """Each word as it is given and as it should be."""
    words = words_of(steps, text)
    inside = np.flatnonzero(words >= 0)
    begins = np.flatnonzero(np.diff(words[inside], prepend=-1, append=-1))
    given, truth = _named(steps.given[inside], text), _named(steps.truth[inside], labels)
    spans = zip(begins[:-1].tolist(), begins[1:].tolist(), strict=True)
    return [("".join(given[begin:end]), "".join(truth[begin:end])) for begin, end in spans]


def _named(numbers: np.ndarray, names: Sequence[str]) -> list[str]:
    return [names[int(number)] for number in numbers.tolist()]


def _examples(
    steps: LabelledSteps,
    wrong_of_sequence: np.ndarray,
    tokens: Sequence[str],
    names: Sequence[str],
    glue: str,
) -> TextTable:
    """The sequences with the most mistakes, and some spread over the split."""
    worst = [int(n) for n in np.argsort(-wrong_of_sequence, kind="stable") if wrong_of_sequence[n]]
    spread = np.linspace(0, len(wrong_of_sequence) - 1, _NUM_SHOWN // 2).astype(int).tolist()
    rows = []
    for number in dict.fromkeys([*worst[: _NUM_SHOWN // 2], *spread]):
        one = steps.of(number)
        marked = [
            answer if answer == truth else f"[{answer}|{truth}]"
            for answer, truth in zip(_named(one.answer, names), _named(one.truth, names), strict=True)
        ]
        rows.append(
            [glue.join(_named(one.given, tokens)), glue.join(marked), str(int(wrong_of_sequence[number]))]
        )
    caption = (
        "First those with the most mistakes, then some spread over the test split. [e|é] = the answer is e,"
        " and é is right."
    )
    return TextTable("examples", "Sequences and answers", caption, ["given", "answer", "mistakes"], rows)


def accuracy_by_label(steps: LabelledSteps, names: Sequence[str]) -> TextTable:
    """How often each label comes and is right, and what is answered in its place."""
    pairs = np.stack([steps.truth, steps.answer])[:, steps.wrong]
    mistaken: dict[int, Counter[str]] = defaultdict(Counter)
    for truth, answer in zip(pairs[0].tolist(), _named(pairs[1], names), strict=True):
        mistaken[truth][answer] += 1
    counts = np.bincount(steps.truth, minlength=len(names)).tolist()
    missed = {label: sum(mistaken[label].values()) for label in range(len(names))}
    rows = []
    for label in sorted(missed, key=lambda label: (-missed[label], -counts[label]))[:_NUM_LABELS]:
        if counts[label]:
            instead = ", ".join(f"{name} ({count})" for name, count in mistaken[label].most_common(4))
            share = f"{1 - missed[label] / counts[label]:.2%}"
            shown = names[label] if names[label].strip() else repr(names[label])
            rows.append([shown, str(counts[label]), share, instead])
    caption = "The labels that are missed most often come first."
    return TextTable(
        "labels", "Accuracy by label", caption, ["label", "steps", "right", "answered instead"], rows
    )
