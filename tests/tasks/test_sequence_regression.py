"""Sequence regression: the share that is off by more than the tolerance, sequences that count nowhere."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from modules.tasks.sequence_regression import SequenceRegression


class Total(nn.Module):
    """Adds up the first `length` steps."""

    def forward(self, sequences: Tensor, length: Tensor) -> Tensor:
        keep = torch.arange(sequences.shape[1]) < length[:, None]
        return (sequences[:, :, 0] * keep).sum(1, keepdim=True)


def batch() -> dict[str, Tensor]:
    return {
        "sequence": torch.tensor([[[1.0], [2.0], [9.0]], [[1.0], [1.0], [1.0]], [[4.0], [0.0], [0.0]]]),
        "sequence_length": torch.tensor([2, 3, 1]),
        "target": torch.tensor([[3.03], [3.5], [4.0]]),
    }


def test_an_answer_is_wrong_that_is_off_by_more_than_the_tolerance() -> None:
    task = SequenceRegression(Total())
    found = task.validate(batch())
    assert found["validation/error"].value == pytest.approx(1 / 3)
    assert found["validation/loss"].value == pytest.approx((0.03**2 + 0.5**2) / 3, abs=1e-6)
    assert task.loss(batch()).value == pytest.approx((0.03**2 + 0.5**2) / 3, abs=1e-6)
    stricter = SequenceRegression(Total(), tolerance=0.02)
    assert stricter.validate(batch())["validation/error"].value == pytest.approx(2 / 3)


def test_longer_sequences_count_nowhere() -> None:
    task = SequenceRegression(Total(), max_length=2)
    assert task.inputs(batch()).shape == (3, 2, 1)
    assert task.loss(batch()).value == pytest.approx(0.03**2 / 2, abs=1e-6)
    assert task.validate(batch())["validation/error"].value == 0.0
    longer = batch() | {"sequence_length": torch.tensor([2, 3, 3])}
    assert SequenceRegression(Total(), max_length=1).loss(longer).quotient == 0.0


@pytest.mark.parametrize(
    "made",
    [lambda: SequenceRegression(Total(), tolerance=0.0), lambda: SequenceRegression(Total(), max_length=0)],
)
def test_refuses_what_nothing_could_meet(made: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="nothing would count"):
        made()
