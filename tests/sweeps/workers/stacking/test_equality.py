"""Each member ends as its lone run does."""

from pathlib import Path

import pytest
import torch

from modules.sweeps.workers.stacking import stack_groups, train_stacked
from modules.training.runs.sessions import hours_of
from tests.sweeps.workers.stacking.trials import Reports, alone, assignments, history, outcome, plan, weights

CASES: dict[str, list[list[str]]] = {
    "learning rate": [[f"optimizer.lr={lr}"] for lr in (0.001, 0.003, 0.02)],
    "weight decay": [[f"optimizer.weight_decay={decay}"] for decay in (0, 0.01, 0.5)],
    "seed": [[f"seed={seed}"] for seed in (0, 1, 7)],
    "dropout": [[f"model.dropout={dropout}", "seed=3"] for dropout in (0.0, 0.2, 0.6)],
    "one dropout": [["model.dropout=0.3", f"optimizer.lr={lr}"] for lr in (0.001, 0.01)],
    "dropout and seed": [
        [f"model.dropout={dropout}", f"seed={seed}"] for dropout, seed in ((0.1, 0), (0.4, 5))
    ],
    "label smoothing": [[f"task.label_smoothing={epsilon}"] for epsilon in (0.0, 0.1, 0.3)],
    "momentum": [["optimizer=sgd", f"optimizer.momentum={momentum}"] for momentum in (0.0, 0.5, 0.9)],
    "slow optimizer": [["optimizer.fused=false", f"+optimizer.betas=[{beta},0.99]"] for beta in (0.8, 0.9)],
    "schedule": [["seed=1", f"schedule.warmup_fraction={fraction}"] for fraction in (0.0, 0.1, 0.5)],
    "clipping": [["trainer.gradient_clip_norm=0.2", f"optimizer.lr={lr}"] for lr in (0.001, 0.01)],
    "one step a block": [["trainer.block_steps=1", f"seed={seed}"] for seed in (0, 1)],
}


@pytest.mark.parametrize("case", CASES)
def test_perceptrons(case: str, small_shards: Path, tmp_path: Path) -> None:
    plans = [plan(*overrides) for overrides in CASES[case]]
    assert stack_groups(plans) == [list(range(len(plans)))]
    reports = Reports()
    results = train_stacked(assignments(plans, tmp_path / "stacked", small_shards), reports)
    assert {result["status"] for result in results.values()} == {"FINISHED"}
    finals = set()
    for trial, own in enumerate(plans):
        lone = alone(own, tmp_path / "alone" / str(trial), small_shards)
        stacked = tmp_path / "stacked" / str(trial)
        _assert_close(stacked, lone.path)
        finals.add(history(lone.path)["validation/loss"][-1][1])
        for epoch in (1, 2):
            step = next(step for number, at, step in reports.heard if (number, at) == (trial, epoch))
            measured = {
                name: value
                for name, points in history(stacked).items()
                for at, value in points
                if at == step and name.startswith("validation/")
            }
            assert reports.metrics[trial, epoch] == measured
            assert set(measured) == {"validation/loss", "validation/accuracy"}
    assert len(finals) == len(plans)  # the trials do differ


def test_convolutional_networks(small_shards: Path, tmp_path: Path) -> None:
    plans = [
        plan(f"optimizer.lr={lr}", f"model.dropout={d}", recipe="lenet")
        for lr, d in ((1e-3, 0.4), (3e-3, 0.1))
    ]
    train_stacked(assignments(plans, tmp_path / "stacked", small_shards), Reports())
    for trial, own in enumerate(plans):
        lone = alone(own, tmp_path / "alone" / str(trial), small_shards)
        _assert_close(tmp_path / "stacked" / str(trial), lone.path, atol=2e-3)


def test_leaves_what_a_lone_run_leaves(small_shards: Path, tmp_path: Path) -> None:
    plans = [plan(f"seed={seed}") for seed in (0, 1)]
    train_stacked(assignments(plans, tmp_path / "stacked", small_shards), Reports())
    lone = alone(plans[1], tmp_path / "alone", small_shards)
    ours = {path.relative_to(tmp_path / "stacked/1").as_posix() for path in _files(tmp_path / "stacked/1")}
    theirs = {path.relative_to(lone.path).as_posix() for path in _files(lone.path)}
    # Its share of the stack's time is in its summary.
    assert ours == theirs - {"checkpoints/last.ckpt", "checkpoints/before_last.ckpt", "sessions.jsonl"}
    assert hours_of(tmp_path / "stacked/1") is not None
    assert outcome(tmp_path / "stacked/1")["status"] == "FINISHED"
    assert (tmp_path / "stacked/1/plan.yaml").read_text() == lone.plan.read_text()
    assert (tmp_path / "stacked/1/weights.pt").stat().st_size == lone.weights.stat().st_size


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and "artifacts" not in path.parts]


def _assert_close(stacked: Path, lone: Path, atol: float = 1e-4) -> None:
    ours, theirs = weights(stacked), weights(lone)
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, rtol=1e-3, atol=atol)
    curves, expected = history(stacked), history(lone)
    assert curves.keys() == expected.keys()
    for name, points in expected.items():
        assert [step for step, _ in curves[name]] == [step for step, _ in points]
        assert [value for _, value in curves[name]] == pytest.approx(
            [v for _, v in points], rel=1e-3, abs=1e-5
        )
