"""One trial by itself: what `pipelines.train` does for a plan, with a report after each epoch."""

from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint
from rich.console import Console

from modules.configuration.plans.run_plan import Plan
from modules.sweeps.workers.open_shards import open_shards
from modules.sweeps.workers.trial_worker import TAKEN_OVER, Assignment, Reporter
from modules.training.monitoring.curves import Curves
from modules.training.ray_workers.ray_training import train_on_workers
from modules.training.runs.checkpoint import CheckpointSaver, read_checkpoint, save_tensors
from modules.training.runs.interruption import Interrupted
from modules.training.runs.run import train
from modules.training.runs.run_folder import HELD_WAIT_S, RunFolder
from modules.training.runs.train_phases import SHARED_WAIT_S, after_phases


class Stopped(Interrupted):
    """The controller has heard enough; what was learned is in the checkpoint.

    Attributes:
        decision: "stop" or "pause".
    """

    def __init__(self, decision: str) -> None:
        BaseException.__init__(self, "stopped early" if decision == "stop" else "paused")
        self.decision = decision
        if decision == "stop":
            self.outcome = "STOPPED"


def train_one_trial(assignment: Assignment, report: Reporter) -> dict[str, Any]:
    """Trains a trial, or goes on with it; returns how it ended."""
    folder, plan, number = RunFolder(Path(assignment["folder"])), assignment["plan"], assignment["identity"]
    shards = Path(assignment["shards"])
    reports = EpochReports(assignment["trial"], report)
    with folder.held(HELD_WAIT_S):
        if folder.finished():
            return {"status": "REUSED"}
        take_over(folder, plan.optimizer)
        try:
            if assignment["took_over"]:
                # Another trial's checkpoint holds all weights: no phases are trained to begin from.
                plan = replace(plan, pretrained=replace(plan.pretrained, weights=None))
            else:
                plan = _after_phases(plan, shards, report)
            _train(plan, number, shards, folder, reports)
        except Stopped as stopped:
            if stopped.decision == "pause":
                return {"status": "PAUSED"}
            return {"status": "STOPPED"}
        summary, history = folder.read("summary.json"), folder.read("history.json")
        assert summary is not None and history is not None
        reports.tell(history, summary["steps"] // summary["epochs"])
    return {"status": "FINISHED"}


def _after_phases(plan: Plan, shards: Path, report: Reporter) -> Plan:
    """Trains the phases of a trial; those that several trials have in common are trained by the first."""

    def train_one(phase: Plan, number: str, folder: RunFolder) -> None:
        _train(phase, number, shards, folder, EndsWithTheSweep(report))

    return after_phases(plan, shards, shards.parents[2] / "runs", train_one, wait_s=SHARED_WAIT_S)


def _train(plan: Plan, number: str, shards: Path, folder: RunFolder, callback: "EndsWithTheSweep") -> None:
    if plan.runtime.num_workers > 1:
        # Its processes are not this one, which has no resources: the sweep hears of its epochs at the end.
        train_on_workers(plan, number, shards, folder, Console(quiet=True))
    else:
        data = open_shards(shards, plan)
        train(plan, number, shards, folder, Console(quiet=True), [callback], data, deliver=False)


class EndsWithTheSweep(Checkpoint):
    """Saves and stops when the sweep is interrupted.

    Args:
        report: knows of it.
    """

    def __init__(self, report: Reporter) -> None:
        self.report = report

    def on_train_batch_end(self, trainer: Trainer, *rest: Any) -> None:
        if self.report.interrupted:
            assert isinstance(trainer.checkpoint_callback, CheckpointSaver)
            trainer.checkpoint_callback.interruption.request(Stopped("pause"))


class EpochReports(EndsWithTheSweep):
    """Reports what validation measured after each epoch, and obeys.

    As a `Checkpoint` it comes after the one that saves: what has been reported is in last.ckpt, for this
    trial to go on from, or for another one. A run that goes on from a checkpoint first reports the epochs
    that lie behind it: its sweep may not know them, if another trained them or the last report was lost.

    Args:
        trial: its number.
        report: gives the decision on an epoch.
    """

    def __init__(self, trial: int, report: Reporter) -> None:
        super().__init__(report)
        self.trial = trial
        self._num_reported = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._obey(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._obey(trainer)

    def tell(self, history: dict[str, list[list[float]]], steps_per_epoch: int) -> str:
        """Reports the epochs of a history that are not reported yet; returns the answer that ends it."""
        for step, metrics in _measured(history).items():
            epoch = step // steps_per_epoch
            if epoch > self._num_reported:
                self._num_reported = epoch
                if (decision := self.report(self.trial, epoch, step, metrics)) != "continue":
                    return decision
        return "continue"

    def _obey(self, trainer: Trainer) -> None:
        assert isinstance(trainer.logger, Curves) and isinstance(trainer.checkpoint_callback, CheckpointSaver)
        trainer.checkpoint_callback.wait()
        loader: Any = trainer.train_dataloader
        decision = self.tell(trainer.logger.history, loader.steps_per_epoch)
        if decision != "continue" and self._num_reported != trainer.max_epochs:
            raise Stopped(decision)


def _measured(history: dict[str, list[list[float]]]) -> dict[int, dict[str, float]]:
    """What validation measured, by the step after which it did."""
    by_step: dict[int, dict[str, float]] = defaultdict(dict)
    for name, points in history.items():
        if name.startswith("validation/"):
            for step, value in points:
                by_step[int(step)][name] = value
    return dict(sorted(by_step.items()))


def take_over(folder: RunFolder, optimizer: dict[str, Any]) -> None:
    """Goes on from another trial's checkpoint, if one lies there: its state, with this optimizer node."""
    taken = folder.checkpoint.with_name(TAKEN_OVER)
    if not taken.exists():
        return
    checkpoint = read_checkpoint(taken)
    for state in checkpoint["optimizer_states"]:
        highest = max(group["initial_lr"] for group in state["param_groups"])
        first = dict(state["param_groups"][0])
        for group in state["param_groups"]:
            # What sets a group apart from the first stays: biases of Boltzmann layers do not decay.
            given = {
                key: value
                for key, value in (optimizer if "_target_" in optimizer else optimizer[group["step"]]).items()
                if key in group and (key == "lr" or group[key] == first[key])
            }
            if "lr" in given:  # each group keeps its share of the highest rate
                given["lr"] *= group["initial_lr"] / highest
                given["initial_lr"] = given["lr"]
            group.update(given)
    save_tensors(checkpoint, folder.checkpoint)
    taken.unlink()
