"""What raising a bias does to classes that a student never saw."""

import math

import pytest
import torch

from modules.evaluation.distillation_evaluator import _accuracies, raised
from modules.evaluation.predictions import Predictions


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
def test_a_class_without_test_samples_is_left_out(omitted: list[int], shown: str) -> None:
    predictions = Predictions(torch.eye(3)[[0, 1]], torch.tensor([0, 1]), torch.arange(2))
    findings = raised(predictions, ["cat", "dog", "cow"], omitted)
    assert all(map(math.isfinite, findings.metrics.values()))
    assert [chart.title for chart in findings.charts] == ([shown] if shown else [])
