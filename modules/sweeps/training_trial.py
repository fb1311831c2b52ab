"""The trial of a sweep that trains: what `pipelines.train` does for a plan, with a report after each epoch.

Imported by every worker once, and with it torch, Lightning and all that trainings have in common.
"""

import functools
import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from rich.console import Console

from modules.configuration.errors import UserError
from modules.configuration.settings import DataSettings, read
from modules.datamodules.shard_set import ShardSet
from modules.sweeps.worker import TAKEN_OVER, Assignment, Reporter
from modules.training.checkpoint import CheckpointSaver, read_checkpoint, save_tensors
from modules.training.curves import Curves
from modules.training.interruption import Interrupted
from modules.training.run import train
from modules.training.run_folder import RunFolder

_HELD_WAIT_S = 60.0  # for the worker of a driver that was killed to be gone


class Stopped(Interrupted):
    """The controller has heard enough; what was learned is in the checkpoint.

    Attributes:
        decision: "stop" or "pause".
    """

    def __init__(self, decision: str) -> None:
        BaseException.__init__(self, "stopped early" if decision == "stop" else "paused")
        self.decision = decision


def train_trials(assignments: list[Assignment], report: Reporter) -> dict[int, dict[str, Any]]:
    """Trains one trial, or several of one shape as one program.

    Args:
        assignments: of the trials.
        report: gives the decision on an epoch.

    Returns:
        How each trial ended.
    """
    first = assignments[0]
    begun_in_a_stack = (Path(first["folder"]) / "checkpoints" / "stacked.pt").exists()
    if len(assignments) > 1 or (begun_in_a_stack and not first["alone"]):
        from modules.sweeps.stacking import train_stacked

        return train_stacked(assignments, report)
    return {assignment["trial"]: _train_one(assignment, report) for assignment in assignments}


def _train_one(assignment: Assignment, report: Reporter) -> dict[str, Any]:
    folder, plan, number = RunFolder(Path(assignment["folder"])), assignment["plan"], assignment["identity"]
    shards = Path(assignment["shards"])
    with held(folder):
        if folder.finished():
            return {"status": "REUSED"}
        _take_over(folder, plan)
        reports = EpochReports(assignment["trial"], report)
        data = open_shards(shards, plan["data"])
        try:
            train(plan, number, shards, folder, Console(quiet=True), [reports], data, deliver=False)
        except Stopped as stopped:
            if stopped.decision == "pause":
                return {"status": "PAUSED"}
            outcome = {"status": "STOPPED", "reason": "stopped early", "ended_s": round(time.time(), 3)}
            folder.write("outcome.json", outcome)
            return {"status": "STOPPED"}
    return {"status": "FINISHED"}


class EpochReports(Callback):
    """Reports what validation measured after each epoch, and obeys.

    A run that goes on from a checkpoint first reports the epochs that lie behind it: its sweep may not know
    them, if it was another that trained them or if the last report was lost.

    Args:
        trial: its number.
        report: gives the decision on an epoch.
    """

    def __init__(self, trial: int, report: Reporter) -> None:
        self.trial = trial
        self.report = report
        self._num_reported = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._tell(trainer)
        _saver(trainer).interruption.stop()

    def on_train_batch_end(self, trainer: Trainer, *rest: Any) -> None:
        if self.report.interrupted:
            _saver(trainer).interruption.request(Stopped("pause"))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._tell(trainer)

    def _tell(self, trainer: Trainer) -> None:
        steps_per_epoch = trainer.train_dataloader.steps_per_epoch  # pyright: ignore[reportOptionalMemberAccess]
        assert isinstance(trainer.logger, Curves)
        for step, metrics in _measured(trainer.logger.history).items():
            epoch = step // steps_per_epoch
            if epoch <= self._num_reported:
                continue
            self._num_reported = epoch
            decision = self.report(self.trial, epoch, step, metrics)
            if decision != "continue" and epoch != trainer.max_epochs:
                # Obeyed by the saver, once it has saved this epoch.
                _saver(trainer).interruption.request(Stopped(decision))
                return


def _saver(trainer: Trainer) -> CheckpointSaver:
    assert isinstance(trainer.checkpoint_callback, CheckpointSaver)
    return trainer.checkpoint_callback


def _measured(history: dict[str, list[list[float]]]) -> dict[int, dict[str, float]]:
    """What validation measured, by the step after which it did."""
    by_step: dict[int, dict[str, float]] = defaultdict(dict)
    for name, points in history.items():
        if name.startswith("validation/"):
            for step, value in points:
                by_step[int(step)][name] = value
    return dict(sorted(by_step.items()))


def open_shards(folder: Path, data: dict[str, Any]) -> ShardSet:
    """A dataset that this process checks and maps once, however many trials read it.

    Raises:
        UserError: it is missing, damaged, or another than the plan's.
    """
    try:
        digest = hashlib.sha256((folder / "shards.json").read_bytes()).hexdigest()
    except OSError:
        digest = ""
    return _opened(folder, digest, json.dumps(data, sort_keys=True))


@functools.lru_cache(maxsize=4)
def _opened(folder: Path, digest: str, data: str) -> ShardSet:
    """Another digest is another dataset: the shards have been written anew."""
    return ShardSet.open(folder, read(DataSettings, json.loads(data), "data"))


@contextmanager
def held(folder: RunFolder) -> Iterator[None]:
    """Holds the folder; a worker of the last driver may take a moment to end."""
    deadline = time.monotonic() + _HELD_WAIT_S
    while True:
        holding = folder.held()
        try:
            holding.__enter__()
            break
        except UserError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
    try:
        yield
    finally:
        holding.__exit__(None, None, None)


def _take_over(folder: RunFolder, plan: dict[str, Any]) -> None:
    """Goes on from another trial's checkpoint, if one lies there: its state, with this plan's optimizer."""
    taken = folder.checkpoint.with_name(TAKEN_OVER)
    if not taken.exists():
        return
    checkpoint = read_checkpoint(taken)
    for state in checkpoint["optimizer_states"]:
        for group in state["param_groups"]:
            given = {key: value for key, value in plan["optimizer"].items() if key in group}
            group.update(given | {"initial_lr": given["lr"]} if "lr" in given else given)
    save_tensors(checkpoint, folder.checkpoint)
    taken.unlink()
