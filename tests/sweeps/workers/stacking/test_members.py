"""Members that end before the others, and stacks that are killed."""

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from modules.sweeps.workers.stacking import train_stacked, training
from modules.training.runs.run_folder import RunFolder
from modules.training.runs.train_runs import train_runs
from tests.sweeps.workers.stacking.trials import (
    Reports,
    alone,
    assert_same_result,
    assignments,
    history,
    outcome,
    plan,
)

SEEDS = (0, 1, 2, 3)
PLANS = [plan("model.dropout=0.2", f"seed={seed}", "trainer.max_epochs=3") for seed in SEEDS]


@pytest.fixture(scope="module")
def undisturbed(small_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of `PLANS` that nobody disturbs."""
    runs = tmp_path_factory.mktemp("undisturbed")
    torch.set_num_threads(1)
    train_stacked(assignments(PLANS, runs, small_shards), Reports())
    return runs


def test_stopped_members_change_nothing_for_the_others(
    small_shards: Path, tmp_path: Path, undisturbed: Path
) -> None:
    reports = Reports(stop={0: 1, 2: 2, 3: 3})  # after its last epoch a trial has ended anyway
    results = train_stacked(assignments(PLANS, tmp_path, small_shards), reports)
    statuses = [results[trial]["status"] for trial in range(4)]
    assert statuses == ["STOPPED", "FINISHED", "STOPPED", "FINISHED"]
    for trial in (1, 3):
        assert_same_result(tmp_path / str(trial), undisturbed / str(trial))
    for trial, epochs in ((0, 1), (2, 2)):
        whole = history(undisturbed / str(trial))
        for name, points in history(tmp_path / str(trial)).items():
            assert points == whole[name][: len(points)]
        assert len(history(tmp_path / str(trial))["validation/loss"]) == epochs
        assert outcome(tmp_path / str(trial))["status"] == "STOPPED"
        assert not RunFolder(tmp_path / str(trial)).finished()
    assert [(trial, epoch) for trial, epoch, _ in reports.heard] == [
        (0, 1), (1, 1), (2, 1), (3, 1), (1, 2), (2, 2), (3, 2), (1, 3), (3, 3)
    ]  # fmt: skip


def test_a_member_is_trained_no_more_and_what_its_bits_hinge_on_is_said(
    undisturbed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("trained again")

    train_runs(PLANS[1], ["1" * 64], [RunFolder(undisturbed / "1")], refuse)
    assert capsys.readouterr().out == (
        "perceptron: already trained, nothing to do (threads 1, networks in its stack 4)\n"
    )


def test_a_diverging_member_fails_alone(small_shards: Path, tmp_path: Path) -> None:
    plans = [plan("optimizer=sgd", f"optimizer.lr={lr}") for lr in (0.01, 1e20, 0.02)]
    results = train_stacked(assignments(plans, tmp_path / "with", small_shards), Reports())
    assert [results[trial]["status"] for trial in range(3)] == ["FINISHED", "FAILED", "FINISHED"]
    healthy = [plans[0], plans[0], plans[2]]
    train_stacked(assignments(healthy, tmp_path / "without", small_shards), Reports())
    for trial in (0, 2):
        assert_same_result(tmp_path / "with" / str(trial), tmp_path / "without" / str(trial))
    with pytest.raises(Exception, match="diverged") as lone:
        alone(plans[1], tmp_path / "alone", small_shards)
    assert results[1]["reason"] == str(lone.value)
    assert outcome(tmp_path / "with/1") == {
        "status": "FAILED",
        "reason": results[1]["reason"],
        "ended_s": outcome(tmp_path / "with/1")["ended_s"],
    }


def test_all_members_diverge(small_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "_SAVE_EVERY_S", 0.0)
    # In one block some lose their loss, at the next save the others their weights.
    plans = [plan("optimizer=sgd", f"optimizer.lr={lr}") for lr in (1e20, 1e30, 1e38)]
    results = train_stacked(assignments(plans, tmp_path, small_shards), Reports())
    assert [results[trial]["status"] for trial in range(3)] == ["FAILED"] * 3
    assert all("diverged" in results[trial]["reason"] for trial in range(3))


def test_all_members_are_stopped(small_shards: Path, tmp_path: Path) -> None:
    results = train_stacked(
        assignments(PLANS, tmp_path, small_shards), Reports(stop=dict.fromkeys(range(4), 1))
    )
    assert [results[trial]["status"] for trial in range(4)] == ["STOPPED"] * 4


def test_interrupted_at_every_block(
    small_shards: Path, tmp_path: Path, undisturbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = assignments(PLANS, tmp_path, small_shards)
    heard = set()
    for _ in range(100):
        reports = Reports()
        reports.interrupted = True
        results = train_stacked(tasks, reports)
        heard |= set(reports.heard)
        if all(result["status"] == "FINISHED" for result in results.values()):
            break
        assert {result["status"] for result in results.values()} == {"INTERRUPTED"}
        assert outcome(tmp_path / "0")["status"] == "KILLED"
    for trial in range(4):
        assert_same_result(tmp_path / str(trial), undisturbed / str(trial))
        assert not (tmp_path / str(trial) / "checkpoints/stacked.pt").exists()
    assert len(heard) == 4 * 3


def test_members_come_back_in_other_company(small_shards: Path, tmp_path: Path, undisturbed: Path) -> None:
    tasks = assignments(PLANS, tmp_path, small_shards)
    reports = Reports()
    reports.interrupted = True
    for _ in range(3):
        train_stacked(tasks[:2], reports)
    train_stacked(tasks[2:3], reports)
    (tmp_path / "0/checkpoints/stacked.pt").write_bytes(b"damaged")
    results = train_stacked(tasks[::-1], Reports())
    assert {result["status"] for result in results.values()} == {"FINISHED"}
    for trial in range(4):
        assert_same_result(tmp_path / str(trial), undisturbed / str(trial))


def test_reports_what_lies_behind_a_checkpoint(small_shards: Path, tmp_path: Path) -> None:
    tasks = assignments(PLANS[:2], tmp_path, small_shards)
    first = Reports()
    first.interrupted = True
    while not first.heard:
        train_stacked(tasks, first)
    again = Reports(stop={1: 1})
    results = train_stacked(tasks, again)
    assert again.heard[:2] == first.heard
    assert [again.metrics[trial, 1] for trial in (0, 1)] == [first.metrics[trial, 1] for trial in (0, 1)]
    assert [results[trial]["status"] for trial in (0, 1)] == ["FINISHED", "STOPPED"]


def test_killed_and_started_again(small_shards: Path, tmp_path: Path, undisturbed: Path) -> None:
    tasks = assignments(PLANS, tmp_path, small_shards)
    (tmp_path / "tasks").write_bytes(pickle.dumps(tasks))
    script = (
        "import pickle, sys, torch\n"
        "from modules.sweeps.workers.stacking import train_stacked, training\n"
        "torch.set_num_threads(1)\n"
        "training._SAVE_EVERY_S = 0.0\n"
        "train_stacked(pickle.load(open(sys.argv[1], 'rb')), lambda *report: 'continue')\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "tasks")])
    deadline = time.monotonic() + 120
    while not (tmp_path / "3/checkpoints/stacked.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "0/outcome.json").exists()
    results = train_stacked(tasks, Reports())
    assert {result["status"] for result in results.values()} == {"FINISHED"}
    for trial in range(4):
        assert_same_result(tmp_path / str(trial), undisturbed / str(trial))


def test_what_is_trained_is_not_trained_again(small_shards: Path, tmp_path: Path) -> None:
    tasks = assignments(PLANS[:2], tmp_path, small_shards)
    alone(PLANS[1], tmp_path / "1", small_shards)
    reports = Reports()
    results = train_stacked(tasks, reports)
    assert [results[trial]["status"] for trial in (0, 1)] == ["FINISHED", "REUSED"]
    assert {trial for trial, _, _ in reports.heard} == {0}


def test_a_plan_that_cannot_be_built_fails_alone(small_shards: Path, tmp_path: Path) -> None:
    plans = [plan(), plan("model.dropout=1.5")]
    results = train_stacked(assignments(plans, tmp_path, small_shards), Reports())
    assert results[0]["status"] == "FINISHED"
    assert results[1]["status"] == "FAILED"
    assert "dropout" in results[1]["reason"]


def test_saving_costs_no_step(
    small_shards: Path, tmp_path: Path, undisturbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "_SAVE_EVERY_S", 0.0)
    train_stacked(assignments(PLANS, tmp_path, small_shards), Reports())
    for trial in range(4):
        assert_same_result(tmp_path / str(trial), undisturbed / str(trial))
