"""Schedules are functions of progress alone."""

import math

import pytest

from modules.training.schedules import Constant, WarmupCosine


def test_constant() -> None:
    assert {Constant()(progress) for progress in (0.0, 0.3, 1.0)} == {1.0}


def test_cosine_rises_then_falls_to_its_final_factor() -> None:
    schedule = WarmupCosine(warmup_fraction=0.2, final_factor=0.1)
    assert schedule(0.0) == 0.0
    assert schedule(0.1) == pytest.approx(0.5)
    assert schedule(0.2) == pytest.approx(1.0)
    assert schedule(0.6) == pytest.approx(0.1 + 0.9 * 0.5)
    assert schedule(1.0) == pytest.approx(0.1)
    falling = [schedule(0.2 + 0.008 * step) for step in range(101)]
    assert falling == sorted(falling, reverse=True)


def test_without_warmup_it_starts_at_its_full_value() -> None:
    assert WarmupCosine(warmup_fraction=0.0)(0.0) == 1.0
    assert math.isclose(WarmupCosine(warmup_fraction=0.0)(1.0), 0.0, abs_tol=1e-12)


@pytest.mark.parametrize(
    "wrong", [{"warmup_fraction": 1.0}, {"warmup_fraction": -0.1}, {"final_factor": -1.0}]
)
def test_wrong_values_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        WarmupCosine(**wrong)
