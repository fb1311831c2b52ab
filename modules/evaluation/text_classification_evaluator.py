"""Classifiers of texts beside what needs no network: the majority class, and logistic regression on word
counts."""

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from modules.configuration.plans.run_plan import Plan
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.shard_split import ShardSplit
from modules.evaluation.classification_evaluator import classes_of, predictions_of_test
from modules.evaluation.exhibits import Exhibit, TextTable
from modules.evaluation.findings import Findings
from modules.evaluation.predictions import Predictions
from modules.tasks.text_classification import TextClassification

_PENALTIES = (0.03, 0.1, 0.3, 1.0, 3.0)
"""The inverse strengths of regularisation that are tried; the validation split chooses."""
_NUM_SHOWN = 20


class TextClassificationEvaluator:
    """What the network is worth over simpler ways to the same answer.

    Logistic regression takes how often each token of the vocabulary comes in a text, as the logarithm of
    one more; it is fitted on the training split, and how strongly it is regularised is chosen on the
    validation split. Accuracies are told apart by every further field with classes.

    Args:
        batch_size: texts at a time.
    """

    metrics: ClassVar[dict[str, Literal["max", "min"]]] = {
        "majority_accuracy": "max",
        "word_count_accuracy": "max",
    }

    def __init__(self, batch_size: int = 500) -> None:
        self.batch_size = batch_size

    def evaluate(self, task: TextClassification, data: ShardSet, plan: Plan) -> Findings:
        """Accuracies of the network, of the majority class of the training split, and of word counts."""
        vocab_size = len(data.vocabularies[task.text])
        features, labels = {}, {}
        for name in ("train", "validation", "test"):
            features[name], labels[name] = _word_counts(data.split(name), task, vocab_size)
        found = predictions_of_test(task, data, self.batch_size)
        majority = np.bincount(labels["train"]).argmax()
        right = {
            "accuracy": (found.prediction == found.truth).numpy(),
            "majority_accuracy": labels["test"] == majority,
            "word_count_accuracy": _fitted(features, labels).predict(features["test"]) == labels["test"],
        }
        metrics = {name: float(values.mean()) for name, values in right.items() if name != "accuracy"}
        tables: list[Exhibit] = [_examples(found, task, data, plan)]
        for field, settings in plan.data.fields.items():
            if settings.classes and field != task.label:
                more, table = _by_group(field, right, data, settings.classes)
                metrics |= more
                tables.insert(0, table)
        return Findings(metrics, exhibits=tables)


def _by_group(
    field: str, right: dict[str, np.ndarray], data: ShardSet, groups: Sequence[str]
) -> tuple[dict[str, float], TextTable]:
    """The accuracies told apart by a further field with classes, such as where a text comes from."""
    split = data.split("test")
    of_text = split.read(np.arange(split.num_samples))[field]
    metrics: dict[str, float] = {}
    rows = []
    for number, group in enumerate(groups):
        if (mine := of_text == number).any():
            means = {name: float(values[mine].mean()) for name, values in right.items()}
            metrics |= {f"{name}_{group}": mean for name, mean in means.items()}
            rows.append(_row(group, int(mine.sum()), means.values()))
    rows.append(_row("all", split.num_samples, (float(values.mean()) for values in right.values())))
    headings = [field, "texts", "network", "majority class", "word counts"]
    caption = f"Share of the test split's texts that are named right, by {field}."
    return metrics, TextTable(f"by_{field}", f"Accuracy by {field}", caption, headings, rows)


def _row(group: str, num_texts: int, accuracies: Iterable[float]) -> list[str]:
    return [group, str(num_texts), *(f"{accuracy:.3f}" for accuracy in accuracies)]


def _word_counts(split: ShardSplit, task: TextClassification, vocab_size: int) -> tuple[Any, np.ndarray]:
    """How often each token comes in each text, sparse [texts, vocab], and the class of each."""
    from scipy.sparse import csr_matrix

    batch = split.read(np.arange(split.num_samples))
    tokens, length = batch[task.text], batch[f"{task.text}_length"]
    rows, places = np.nonzero(np.arange(tokens.shape[1]) < length[:, None])
    ones = np.ones(len(rows), np.float32)
    counts = csr_matrix((ones, (rows, tokens[rows, places])), shape=(len(tokens), vocab_size))
    counts.data = np.log1p(counts.data)
    return counts, batch[task.label]


def _fitted(features: dict[str, Any], labels: dict[str, np.ndarray]) -> Any:
    """The logistic regression that does best on the validation split."""
    from sklearn.linear_model import LogisticRegression

    models = [LogisticRegression(C=penalty, max_iter=2000) for penalty in _PENALTIES]
    for model in models:
        model.fit(features["train"], labels["train"])
    return max(models, key=lambda model: model.score(features["validation"], labels["validation"]))


def _examples(found: Predictions, task: TextClassification, data: ShardSet, plan: Plan) -> TextTable:
    """The worst mistakes, and texts spread over the split."""
    classes, vocabulary = classes_of(plan.data.fields, task.label), data.vocabularies[task.text]
    places = [*found.worst_mistakes(_NUM_SHOWN // 2), *found.spread_samples(_NUM_SHOWN // 2)]
    texts = data.split("test").read(np.array(places))[task.text]
    rows = []
    for place, tokens in zip(places, torch.from_numpy(texts).tolist(), strict=True):
        answer = int(found.prediction[place])
        probability = float(found.probabilities[place, answer])
        truth = classes[int(found.truth[place])]
        rows.append([vocabulary.decode(tokens), truth, f"{classes[answer]} ({probability:.0%})"])
    caption = "First the worst mistakes, made with the greatest confidence, then texts spread over the split."
    return TextTable("examples", "Texts and answers", caption, ["text", "truth", "answer"], rows)
