"""A run stays where other code around it gives the same first steps; it is trained again where it does
not."""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import LightningModule, Trainer
from rich.console import Console

from modules.configuration.errors import UserError
from modules.configuration.plans.identity import identities
from modules.configuration.plans.run_plan import Plan
from modules.training.monitoring.progress import ProgressDisplay
from modules.training.runs import replay, train_runs
from modules.training.runs.checkpoint import CheckpointSaver
from modules.training.runs.interruption import Interrupted
from modules.training.runs.replay import set_aside
from modules.training.runs.run_folder import FIRST_STEPS, RunFolder
from modules.training.runs.start import start
from tests.training.small import small_plan

Yard = Callable[..., tuple[list[RunFolder], list[str]]]


@pytest.fixture
def yard(small_shards: Path, tmp_path: Path) -> Yard:
    """Trains what a plan names, as `pipelines.train` does; gives its folders, and what was trained."""
    (tmp_path / "data" / "shards").mkdir(parents=True)
    (tmp_path / "data" / "shards" / "fashion_mnist").symlink_to(small_shards)

    def run(*overrides: str, recipe: str = "perceptron") -> tuple[list[RunFolder], list[str]]:
        plan = small_plan(recipe, f"runtime.storage={tmp_path}", *overrides)
        numbers = identities(plan, plan.shards)
        folders = [RunFolder(plan.storage / "runs" / number[:16]) for number in numbers]
        trained: list[str] = []

        def train_one(one: Plan, number: str, folder: RunFolder) -> None:
            trained.append(one.name)
            start(one, number, folder, Console(quiet=True))

        with folders[-1].held():
            train_runs.train_runs(plan, numbers, folders, train_one)
        return folders, trained

    return run


def edited(monkeypatch: pytest.MonkeyPatch, code: str = "edited") -> None:
    """As if a module that carries trainings had been edited."""
    for module in ("modules.training.runs.train_runs", "modules.training.runs.run"):
        monkeypatch.setattr(f"{module}.carrying_code", lambda: code)


def first_steps(folder: RunFolder) -> dict[str, Any]:
    return json.loads((folder.path / FIRST_STEPS).read_text())


def test_a_run_keeps_its_first_steps_whatever_its_blocks(yard: Yard) -> None:
    (whole,), _ = yard("trainer.block_steps=4")
    kept = first_steps(whole)
    assert kept["num_steps"] == 4 and len(kept["weights"]) == 64
    assert (kept["num_workers"], kept["num_threads"], kept["gpu"]) == (1, 1, "")
    (other,), _ = yard("trainer.block_steps=4", "seed=1")
    assert first_steps(other)["weights"] != kept["weights"]


def test_equal_bits_keep_the_run(
    yard: Yard, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder,), trained = yard()
    assert trained == ["perceptron"]
    weights = folder.weights.read_bytes()
    edited(monkeypatch)
    _, trained = yard()
    assert trained == [] and folder.weights.read_bytes() == weights
    assert "its first 4 steps give the same weights" in capsys.readouterr().out
    assert not list(folder.path.glob(".replay-*")), "nothing of the replay is left"
    yard()
    assert "already trained, nothing to do" in capsys.readouterr().out


def test_one_other_bit_trains_again_and_the_old_run_is_kept_aside(
    yard: Yard, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder,), _ = yard()
    weights = folder.weights.read_bytes()

    def begun(self: ProgressDisplay, trainer: Trainer, pl_module: LightningModule) -> None:
        original(self, trainer, pl_module)
        with torch.no_grad():
            first = next(pl_module.parameters()).view(-1)
            first[0] = torch.nextafter(first[0], torch.tensor(torch.inf))

    original = ProgressDisplay.on_train_start
    monkeypatch.setattr(ProgressDisplay, "on_train_start", begun)
    edited(monkeypatch)
    _, trained = yard()
    assert trained == ["perceptron"]
    assert "steps give other weights" in capsys.readouterr().out
    assert folder.finished() and folder.weights.read_bytes() != weights
    assert (folder.path / "replaced-1" / "weights.pt").read_bytes() == weights


def test_a_stopped_run_goes_on_after_its_replay(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = CheckpointSaver.on_train_epoch_end

    def stopped(self: CheckpointSaver, trainer: Trainer, pl_module: LightningModule) -> None:
        saved(self, trainer, pl_module)
        raise Interrupted(signal.SIGTERM)

    (whole,), _ = yard()
    expected = whole.weights.read_bytes()
    set_aside(whole)
    with monkeypatch.context() as patched, pytest.raises(Interrupted):
        patched.setattr(CheckpointSaver, "on_train_epoch_end", stopped)
        yard()
    assert whole.checkpoint.exists() and not whole.finished()
    steps: list[int] = []
    begin = ProgressDisplay.on_train_start

    def begun(self: ProgressDisplay, trainer: Trainer, pl_module: LightningModule) -> None:
        steps.append(trainer.global_step)
        begin(self, trainer, pl_module)

    monkeypatch.setattr(ProgressDisplay, "on_train_start", begun)
    edited(monkeypatch)
    _, trained = yard()
    assert trained == ["perceptron"] and steps[0] == 0 and steps[-1] > 0, "replayed, then gone on"
    assert whole.weights.read_bytes() == expected


def test_every_phase_is_replayed(
    yard: Yard, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    phases = "+phases.first={trainer: {max_epochs: 1}}"
    (first, last), trained = yard(phases)
    assert trained == ["perceptron.first", "perceptron"]
    edited(monkeypatch)
    assert yard(phases)[1] == []
    assert capsys.readouterr().out.count("steps give the same weights") == 2
    edited(monkeypatch, "once more")
    (first.path / "outcome.json").unlink()
    with pytest.raises(UserError, match=r"cannot be replayed: .*, which it began from, is gone"):
        yard(phases)
    assert last.finished()
    assert yard(phases, "runtime.replay=skip")[1] == [], "it is kept as it is, and nothing is trained for it"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"cpu": "Another CPU"}, "it was trained on Another CPU, and this is"),
        ({"gpu": "Another GPU"}, "it was trained on Another GPU, and the GPU here is"),
        ({"num_workers": 2}, r"2 workers trained it, not 1. Add runtime=ray runtime.num_workers=2, or"),
        ({"num_steps": 3}, "its first steps came out otherwise"),
        (None, "it kept no first steps"),
    ],
)
def test_what_cannot_be_replayed_is_said_and_trained_only_when_told_to(
    change: dict[str, Any] | None, why: str, yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder,), _ = yard()
    weights = folder.weights.read_bytes()
    if change is None:
        (folder.path / FIRST_STEPS).unlink()
    else:
        folder.write(FIRST_STEPS, first_steps(folder) | change)
    edited(monkeypatch)
    with pytest.raises(UserError, match=why) as said:
        yard()
    assert "runtime.replay=skip keeps it as it is, runtime.replay=retrain" in said.value.hint
    assert folder.finished() and folder.weights.read_bytes() == weights
    assert yard("runtime.replay=skip")[1] == [] and yard()[1] == []
    edited(monkeypatch, "once more")
    assert yard("runtime.replay=retrain")[1] == ["perceptron"]
    assert folder.weights.read_bytes() == weights, "the same code, the same bits"


def test_an_interrupted_replay_leaves_the_run(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder,), _ = yard()
    edited(monkeypatch)

    def interrupted(*_: Any) -> Interrupted:
        return Interrupted(signal.SIGTERM)

    monkeypatch.setattr(replay, "_until_first_steps", interrupted)
    with pytest.raises(Interrupted):
        yard()
    assert folder.finished() and not list(folder.path.glob(".replay-*"))
