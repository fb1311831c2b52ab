"""The peak of this device, and what a training uses of it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

from modules.configuration.plans.run_plan import Plan
from modules.training.monitoring.model_flops import dtype_of, model_flops, peak_flops
from modules.training.runs.run import train
from modules.training.runs.run_folder import RunFolder
from modules.training.runs.sessions import SESSIONS, SessionTimes, read_times
from modules.training.runs.worth import utilisation
from tests.training.small import small_plan

CPU = torch.device("cpu")
MULTIPLY_ADDS = 100_000


def costed(plan: Plan) -> Plan:
    return replace(plan, cost=replace(plan.cost, multiply_adds=MULTIPLY_ADDS))


def times_of(num_steps: int, **seconds: float) -> SessionTimes:
    parts = {"steps": 0.0, "data": 0.0, "communication": 0.0, **seconds}
    return SessionTimes(parts, num_steps, 0.0, 0.0)


def test_the_peak_is_measured_once_and_leaves_the_random_numbers() -> None:
    state = torch.get_rng_state()
    peak = peak_flops(CPU, torch.float32)
    assert peak is not None and 1e8 < peak < 1e15
    assert peak_flops(CPU, torch.float32) == peak
    assert torch.equal(torch.get_rng_state(), state)
    assert peak_flops(torch.device("meta"), torch.float32) is None


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [
        ("32-true", torch.float32),
        ("16-mixed", torch.float16),
        ("bf16-mixed", torch.bfloat16),
        ("bf16-true", torch.bfloat16),
        ("64-true", torch.float64),
    ],
)
def test_the_precision_of_the_products(precision: str, dtype: torch.dtype) -> None:
    assert dtype_of(precision) == dtype


def test_utilisation_is_the_formula_of_palm() -> None:
    plan = costed(small_plan("lenet"))
    peak = peak_flops(CPU, torch.float32)
    assert peak is not None
    used = utilisation(plan, times_of(100, steps=3.0, data=0.75, communication=0.25), True, CPU, 2)
    # 100 batches of 16 in 4 s, 3 passes of 2 operations; two workers have twice the peak.
    assert model_flops(MULTIPLY_ADDS) == 6 * MULTIPLY_ADDS
    assert used["mfu"] == pytest.approx(6 * MULTIPLY_ADDS * 400 / (2 * peak), rel=1e-3)
    assert used["peak_flops_measured"] == pytest.approx(2 * peak, rel=1e-3)


@pytest.mark.parametrize("why", ["several passes", "nothing known", "no step", "frozen parts"])
def test_utilisation_is_left_out_where_it_would_be_wrong(why: str) -> None:
    plan = costed(small_plan("lenet"))
    if why == "nothing known":
        plan = replace(plan, cost=replace(plan.cost, multiply_adds=0))
    if why == "frozen parts":
        plan = replace(plan, fine_tuning=replace(plan.fine_tuning, frozen_parts=1))
    times = times_of(0 if why == "no step" else 100, steps=4.0)
    assert utilisation(plan, times, why != "several passes", CPU, 1) == {}


def test_a_real_training_uses_less_than_the_peak(small_shards: Path, tmp_path: Path) -> None:
    plan = costed(small_plan("lenet"))
    summary = train(plan, "0" * 64, small_shards, RunFolder(tmp_path), Console(quiet=True))
    times = read_times(tmp_path / SESSIONS)
    assert times is not None
    throughput = summary["steps"] * 16 / times.training_seconds
    assert 0 < summary["mfu"] < 1
    assert summary["mfu"] == pytest.approx(
        6 * MULTIPLY_ADDS * throughput / summary["peak_flops_measured"], rel=0.01
    )


def test_steps_of_several_evaluations_have_no_utilisation(small_shards: Path, tmp_path: Path) -> None:
    plan = costed(small_plan("lenet", "optimizer=lbfgs", "~optimizer.weight_decay", "trainer.max_epochs=1"))
    summary = train(plan, "0" * 64, small_shards, RunFolder(tmp_path), Console(quiet=True))
    assert "goodput" in summary and "mfu" not in summary
