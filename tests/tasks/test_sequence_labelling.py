"""Sequence labelling: padding counts nowhere, a sequence is right if all of it is."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from modules.configuration.errors import UserError
from modules.tasks.sequence_labelling import SequenceLabelling


class Echo(nn.Module):
    """Says of each token that it is its own label, four to one."""

    def forward(self, tokens: Tensor, length: Tensor) -> Tensor:
        return functional.one_hot(tokens, 4).float() * math.log(4.0)


def batch(labels: list[list[int]]) -> dict[str, Tensor]:
    return {
        "text": torch.tensor([[1, 2, 3], [2, 3, 0]]),
        "text_length": torch.tensor([3, 2]),
        "labels": torch.tensor(labels),
        "labels_length": torch.tensor([3, 2]),
    }


def test_steps_and_sequences_are_counted_without_padding() -> None:
    task = SequenceLabelling(Echo())
    found = task.validate(batch([[1, 2, 1], [2, 3, 1]]))  # a wrong third step; a wrong padding
    assert found["validation/accuracy"].value == pytest.approx(4 / 5)
    assert found["validation/sequence_accuracy"].value == pytest.approx(1 / 2)
    right, wrong = -math.log(4 / 7), -math.log(1 / 7)
    expected = (4 * right + wrong) / 5
    assert found["validation/loss"].value == pytest.approx(expected, abs=1e-6)
    assert task.loss(batch([[1, 2, 1], [2, 3, 1]])).value == pytest.approx(expected, abs=1e-6)


def test_labels_of_another_length_are_one_line() -> None:
    with pytest.raises(UserError, match=r"labels are \[2, 2\], and the model answers \[2, 3\]"):
        SequenceLabelling(Echo()).loss(batch([[1, 2, 1], [2, 3, 1]]) | {"labels": torch.zeros(2, 2).long()})
