"""What an evaluation says of labelled steps: counted by hand on made-up lines, of text and of classes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from modules.configuration.composition.compose import compose
from modules.datamodules.samples import ArraySamples
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.vocabulary import SPECIAL, Vocabulary
from modules.evaluation.exhibits import TextTable
from modules.evaluation.labelled_steps import LabelledSteps, words_of
from modules.evaluation.sequence_labelling_evaluator import SequenceLabellingEvaluator
from modules.tasks.sequence_labelling import SequenceLabelling
from tests.plans import plan_of
from tests.written_shards import write_samples

TRAIN = [("el nino", "el niño"), ("el mes", "él mes"), ("el, x", "el, x")]
TEST = [("el nino, el mes", "él niño, el més"), ("el", "el")]


class Answers(nn.Module):
    """Labels each token with a label of its own, whatever stands around it.

    Args:
        text: vocabulary of the tokens.
        labels: names of the labels.
        answers: of tokens, their labels; others are labelled by themselves.
    """

    def __init__(self, text: Vocabulary, labels: tuple[str, ...], answers: dict[str, str]) -> None:
        super().__init__()
        self.table = torch.zeros(len(text), len(labels))
        for number, token in enumerate(text.tokens):
            self.table[number, labels.index(answers.get(token, token))] = 1.0

    def forward(self, tokens: Tensor, length: Tensor) -> Tensor:
        return self.table[tokens]


def test_letters_words_and_lines_are_counted_by_hand(tmp_path: Path) -> None:
    config = compose(["recipe=accents"])
    config["data"]["fields"]["text"]["vocabulary"]["size"] = 14
    config["data"]["fields"]["labels"]["vocabulary"]["size"] = 16
    plan = plan_of(config)

    def samples(pairs: list[tuple[str, str]]) -> ArraySamples:
        columns = {"text": [text for text, _ in pairs], "labels": [labels for _, labels in pairs]}
        return ArraySamples([str(number) for number in range(len(pairs))], columns)

    found = {"train": samples(TRAIN), "validation": samples(TRAIN[:1]), "test": samples(TEST)}
    plan.data.splits.clear()
    write_samples(found, plan.data, tmp_path / "accents")
    data = ShardSet.open(tmp_path / "accents", plan.data)
    text, labels = data.vocabularies["text"], data.vocabularies["labels"]
    # Each n is made ñ, the e stays.
    task = SequenceLabelling(Answers(text, labels.tokens, {"n": "ñ"})).eval()
    findings = SequenceLabellingEvaluator(batch_size=2).evaluate(task, data, plan)
    # Of "él niño, el més" wrong are both é and the first n; "el" is right.
    assert findings.metrics == pytest.approx(
        {
            "accuracy": 1 - 3 / 17,
            "sequence_accuracy": 1 / 2,
            "num_steps": 17,
            "changed_accuracy": 1 / 3,
            "wrongly_changed": 1 / 14,
            "word_accuracy": 2 / 5,
            "changed_word_accuracy": 0.0,
            "num_words": 5,
            "num_changed_words": 3,
            # el, niño, el and el as most often; més was never seen so.
            "lookup_word_accuracy": 3 / 5,
        }
    )
    examples, by_label = findings.exhibits
    assert isinstance(examples, TextTable) and isinstance(by_label, TextTable)
    assert examples.rows[0] == ["el nino, el mes", "[e|é]l [ñ|n]iño, el m[e|é]s", "3"]
    assert by_label.rows[0] == ["é", "2", "0.00%", "e (2)"]
    assert by_label.rows[1] == ["n", "1", "0.00%", "ñ (1)"]


def test_words_end_with_their_sequence() -> None:
    tokens = (*SPECIAL, "a", " ")
    given = np.array([4, 4, 5, 1, 4, 4])
    steps = LabelledSteps(given, given, given, np.array([0, 0, 0, 0, 0, 1]))
    assert words_of(steps, tokens).tolist() == [0, 0, -1, 1, 1, 2]


def test_labels_of_classes_are_counted_without_words(tmp_path: Path) -> None:
    config = compose(["recipe=accents", "model.num_labels=2"])
    config["data"]["fields"]["text"]["vocabulary"]["size"] = 6
    about = {key: value for key, value in config["data"]["fields"]["labels"].items() if key != "vocabulary"}
    config["data"]["fields"]["labels"] = about | {"units": "class number", "classes": ["low", "high"]}
    plan = plan_of(config)
    # The begin and the end of a text have labels too.
    columns = {"text": ["ab"], "labels": [np.array([0, 0, 1, 1])]}
    found = {split: ArraySamples(["0"], columns) for split in ("train", "validation", "test")}
    plan.data.splits.clear()
    write_samples(found, plan.data, tmp_path / "accents")
    data = ShardSet.open(tmp_path / "accents", plan.data)
    answers = dict.fromkeys(data.vocabularies["text"].tokens, "low")
    task = SequenceLabelling(Answers(data.vocabularies["text"], ("low", "high"), answers)).eval()
    findings = SequenceLabellingEvaluator().evaluate(task, data, plan)
    assert findings.metrics == {"accuracy": 0.5, "sequence_accuracy": 0.0, "num_steps": 4}
    examples, by_label = findings.exhibits
    assert isinstance(examples, TextTable) and isinstance(by_label, TextTable)
    assert examples.rows == [["<begin> a b <end>", "low low [low|high] [low|high]", "2"]]
    assert by_label.rows == [["high", "2", "0.00%", "low (2)"], ["low", "2", "100.00%", ""]]
