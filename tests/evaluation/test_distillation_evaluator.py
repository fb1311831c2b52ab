"""What raising a bias does to classes that a student never saw."""

import math
from typing import Any

import pytest
import torch

from modules.evaluation import classification_evaluator, distillation_evaluator
from modules.evaluation.classification_evaluator import ClassificationFindings
from modules.evaluation.distillation_evaluator import _accuracies
from modules.evaluation.predictions import Predictions
from tests.plans import composed_plan


def test_a_raised_bias_brings_back_what_was_never_seen() -> None:
    # Class 2 lies behind by a factor of 8 in its own samples, of 100 in others'.
    probabilities = torch.tensor(
        [[0.98, 0.01, 0.0098], [0.01, 0.98, 0.0098], [0.8, 0.1, 0.1], [0.1, 0.8, 0.1]]
    )
    truth = torch.tensor([0, 1, 2, 2])
    assert _accuracies(probabilities, truth, [2], 0.0) == (0.5, 0.0)
    assert _accuracies(probabilities, truth, [2], math.log(8) - 0.01) == (0.5, 0.0)
    assert _accuracies(probabilities, truth, [2], math.log(8) + 0.01) == (1.0, 1.0)
    assert _accuracies(probabilities, truth, [2], math.log(101)) == (0.5, 1.0)
    assert _accuracies(torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([2]), [2], 5.0) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("omitted", "shown"), [([1], "Never seen: dog"), ([1, 2], "Never seen: dog"), ([2], "")]
)
def test_a_class_without_test_samples_is_left_out(
    monkeypatch: pytest.MonkeyPatch, omitted: list[int], shown: str
) -> None:
    predictions = Predictions(torch.eye(3)[[0, 1]], torch.tensor([0, 1]), torch.arange(2))
    found = ClassificationFindings(
        metrics={"accuracy": 1.0},
        predictions=predictions,
        classes=["cat", "dog", "cow"],
        filters=None,
        show=None,
    )
    monkeypatch.setattr(classification_evaluator, "evaluate", lambda *_: found)
    nothing: Any = None
    plan = composed_plan("recipe=student_without_3", f"trainer.without_classes={omitted}")
    findings = distillation_evaluator.evaluate(nothing, nothing, nothing, plan)
    assert all(map(math.isfinite, findings.metrics.values()))
    assert [chart.title for chart in findings.charts] == ([shown] if shown else [])
