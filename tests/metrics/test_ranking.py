"""Average precision of rankings against scikit-learn."""

import pytest
import torch
from sklearn.metrics import average_precision_score

from modules.metrics.ranking import ranking_precision


def test_it_is_that_of_scikit_learn() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(50, 4, generator=generator)
    truth = torch.rand(50, 4, generator=generator) < 0.2
    truth[:, 3] = False
    found = ranking_precision(scores, truth).tolist()
    for number in range(3):
        expected = average_precision_score(truth[:, number].numpy(), scores[:, number].numpy())
        assert found[number] == pytest.approx(expected)
    assert found[3] != found[3]  # no sample has it
