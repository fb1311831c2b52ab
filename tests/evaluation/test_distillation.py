"""What raising a bias does to classes that a student never saw."""

import math

import torch

from modules.evaluation.distillation import _accuracies


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
