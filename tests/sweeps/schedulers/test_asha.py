"""Successive halving against cases worked by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.sweeps.schedulers.asha import SuccessiveHalving


@pytest.mark.parametrize(
    ("grace", "eta", "max_epochs", "rungs"),
    [(1, 3, 27, [1, 3, 9]), (1, 3, 28, [1, 3, 9, 27]), (2, 2, 16, [2, 4, 8]), (4, 4, 4, []), (1, 2, 1, [])],
)
def test_rungs_lie_below_the_last_epoch(grace: int, eta: int, max_epochs: int, rungs: list[int]) -> None:
    assert SuccessiveHalving(grace, eta, "max", max_epochs).rungs == rungs


def test_by_hand() -> None:
    """eta 3: of 1 or 2 the best goes on, of 6 the best two."""
    asha = SuccessiveHalving(1, 3, "max", 9)
    decisions = [
        asha.decide(trial, 1, value) for trial, value in enumerate([0.5, 0.4, 0.6, 0.3, 0.2, 0.55, 0.1])
    ]
    assert decisions == ["continue", "stop", "continue", "stop", "stop", "continue", "stop"]
    assert asha.decide(0, 2, 0.0) == "continue"  # no rung
    assert asha.decide(0, 3, 0.5) == "continue"
    assert asha.decide(2, 3, 0.5) == "continue"  # as good as the best
    assert asha.decide(5, 3, 0.4) == "stop"
    assert asha.decide(0, 9, 0.0) == "continue"  # its last epoch


def test_less_is_better() -> None:
    asha = SuccessiveHalving(1, 2, "min", 4)
    assert [asha.decide(trial, 1, value) for trial, value in enumerate([0.5, 0.6, 0.4])] == [
        "continue",
        "stop",
        "continue",
    ]


def test_an_epoch_that_is_reported_again_counts_once() -> None:
    """A trial whose worker died trains from its checkpoint on."""
    asha = SuccessiveHalving(1, 2, "max", 8)
    asha.decide(0, 1, 0.5)
    for _ in range(5):
        assert asha.decide(0, 1, 0.5) == "continue"
    assert asha.decide(1, 1, 0.4) == "stop"
    assert asha.decide(2, 1, 0.3) == "stop"


def test_what_is_no_number_is_stopped() -> None:
    asha = SuccessiveHalving(1, 2, "max", 8)
    assert asha.decide(0, 1, math.nan) == "stop"
    assert asha.decide(1, 1, 0.1) == "continue"


@given(st.permutations(range(81)), st.sampled_from([2, 3, 4]))
def test_in_any_order_who_goes_on_is_among_the_best_so_far(order: list[int], eta: int) -> None:
    asha = SuccessiveHalving(1, eta, "max", 1000)
    for count, trial in enumerate(order, 1):
        best_so_far = sorted(order[:count], reverse=True)[: max(1, count // eta)]
        assert (asha.decide(trial, 1, float(trial)) == "continue") is (trial in best_so_far)
