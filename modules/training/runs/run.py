"""A run from its plan to its results: data, tracker, training, and an honest word on how it ended."""

import hashlib
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy
import torch
from pytorch_lightning import Callback
from rich.console import Console

from modules.configuration.errors import UserError
from modules.configuration.plans.code_rings import carrying_code
from modules.configuration.plans.identity import shard_hashes, split_sizes
from modules.configuration.plans.mirrored_index import check_cache_room
from modules.configuration.plans.plan_files import plan_text
from modules.configuration.plans.run_plan import Plan
from modules.configuration.regular_file import open_regular
from modules.configuration.static_analysis.definitions import ROOT
from modules.configuration.yaml_files import write_if_changed
from modules.datamodules.chosen_samples import choose
from modules.datamodules.shard_loader import EvaluationLoader, TrainingLoader
from modules.datamodules.shard_set import ShardSet
from modules.tasks.task import Task
from modules.tracking.tracker import Tracker
from modules.training.data_parallel import rank, world_size
from modules.training.fit import fit
from modules.training.monitoring.curves import Curves
from modules.training.monitoring.data_waits import DataWaits
from modules.training.monitoring.wall_time import WallTime
from modules.training.runs.checkpoint import save_tensors
from modules.training.runs.environment import environment, git_state
from modules.training.runs.first_steps import KeepFirstSteps
from modules.training.runs.interruption import Interrupted, Interruption
from modules.training.runs.kept_models import tell_of_kept
from modules.training.runs.run_folder import STUCK, RunFolder
from modules.training.runs.sessions import SESSIONS, Began, Session, read_times
from modules.training.runs.training_errors import explained
from modules.training.runs.worth import held, tracked, utilisation, worth_of
from modules.training.selection import kept_weights
from modules.weights.tensor_file import load_tensors

STOPPED_EARLY = "stopped early"
# Validation keeps no gradients: larger batches fit, and cost less a sample.
VALIDATION_BATCH_SIZE = 500
# Whoever sends SIGTERM seldom waits longer than half a minute before SIGKILL.
_KILLED_WAIT_S = 5.0


def train(
    plan: Plan,
    identity: str,
    shards: Path,
    folder: RunFolder,
    console: Console,
    callbacks: Sequence[Callback] = (),
    data: ShardSet | None = None,
    deliver: bool = True,
    interruption: Interruption | None = None,
    began: Began | None = None,
) -> dict[str, Any]:
    """Trains a plan in its folder, from its checkpoint on if there is one.

    In a process group (`modules.training.data_parallel`) each process trains on its share of every batch, and
    the first one alone shows and writes.

    Args:
        plan: a plan whose shapes have been checked.
        identity: of the run.
        shards: the folder of its dataset.
        folder: held by this process.
        console: where progress is shown.
        callbacks: Lightning callbacks of one's own.
        data: the shards, where they are open already.
        deliver: whether a process of this run's own brings its metrics to the tracker.
        interruption: asks to save and stop; by default what signals ask of this process.
        began: when the command did that trains; by default now.

    Returns:
        The summary, as it lies in summary.json; empty but in the first process.

    Raises:
        UserError: the training failed; the last good checkpoint is kept.
        Interrupted: a signal asked to stop; the state is in the checkpoint.
    """
    began = began or Began(time.time())
    settings = plan.trainer
    runtime = plan.runtime
    if runtime.num_threads is not None:
        torch.set_num_threads(runtime.num_threads)
    data = data or ShardSet.open(shards, plan.data)
    check_cache_room(plan.configuration, shards)
    _check_shares(settings.batch_size, data)
    training = TrainingLoader(
        choose(data.split("train"), settings, plan.seed, _soft_targets(plan), plan.task.get("label")),
        settings.batch_size // world_size(),
        settings.block_steps,
        plan.seed,
        rank(),
        world_size(),
        num_workers=runtime.num_loader_workers,
        max_steps=settings.max_steps,
        order=settings.order,
    )
    validation = None
    if "validation" in data.splits:
        validation = EvaluationLoader(data.split("validation"), VALIDATION_BATCH_SIZE, rank(), world_size())
    if rank() > 0:
        callbacks = [KeepFirstSteps(folder, carrying_code()), *callbacks]
        with explained(settings.batch_size):
            fit(plan, training, validation, folder.checkpoint, None, console, callbacks, interruption)
        return {}
    facts = {**git_state(ROOT), **environment()}
    waits = [DataWaits(training, settings.log_every_steps)] if plan.data.mirror is not None else []
    with explained(settings.batch_size):
        write_if_changed(folder.plan, plan_text(plan.to_plain()))
        tracker = open_tracker(plan, identity, shards, folder, facts, deliver)
    wall = WallTime(Session(folder.path / SESSIONS, began, *held(runtime)), training)
    callbacks = [wall, KeepFirstSteps(folder, carrying_code()), *waits, *callbacks]
    try:
        with explained(settings.batch_size):
            task, curves, figures = fit(
                plan, training, validation, folder.checkpoint, tracker, console, callbacks, interruption
            )
            wall.end()
            for one in waits:
                figures |= one.figures()
            figures |= _worth(plan, folder, wall, deliver)
            summary = write_results(
                folder, plan, identity, task, curves, {**figures, **facts, **_vocabularies(data)}
            )
        tracker.metrics(tracked(summary), summary["steps"])
        tracker.artifact(folder.path / "summary.json")
        tell_of_kept(tracker, folder, curves.history, summary)
    except BaseException as error:
        wall.end()
        if isinstance(error, Interrupted):
            status = error.outcome
        else:
            status = "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED"
        end_run(folder, tracker, status, " ".join(f"{error}".split()) or type(error).__name__)
        raise
    end_run(folder, tracker, "FINISHED", "")
    return summary


def _worth(plan: Plan, folder: RunFolder, wall: WallTime, alone: bool) -> dict[str, Any]:
    """What the run was worth, over all its sessions."""
    times = read_times(folder.path / SESSIONS)
    if times is None:
        return {}
    used = utilisation(plan, times, wall.one_pass_a_step, wall.device, world_size())
    return worth_of(plan, times, alone) | used


def _check_shares(batch_size: int, data: ShardSet) -> None:
    """Refuses processes that would have to wait for each other for ever."""
    if batch_size % world_size():
        raise UserError(
            f"trainer.batch_size={batch_size} cannot be shared evenly by {world_size()} processes"
        )
    if "validation" in data.splits and data.split("validation").num_samples < world_size():
        raise UserError(f"the validation split has fewer samples than the {world_size()} processes")


def _vocabularies(data: ShardSet) -> dict[str, Any]:
    found = {field: one.sha256() for field, one in data.vocabularies.items()}
    return {"vocabularies": found} if found else {}


def _soft_targets(plan: Plan) -> dict[str, numpy.ndarray]:
    """What the plan's teachers say of every sample of the training split."""
    file = plan.pretrained.teacher_answers
    if file is None:
        return {}
    with open_regular(file) as opened:
        return {"teacher": numpy.load(opened, allow_pickle=False)}


def write_results(
    folder: RunFolder,
    plan: Plan,
    identity: str,
    task: Task,
    curves: Curves,
    figures: dict[str, Any],
    status: str = "FINISHED",
) -> dict[str, Any]:
    """Writes weights, history and summary of a run that ended well; returns the summary.

    Of a run that kept its best epoch, `weights.pt` holds the weights of that, and the task's go beside it.
    """
    summary = {
        "recipe": plan.name,
        "identity": identity,
        "run_folder": str(folder.path),
        "seed": plan.seed,
        "status": status,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "num_parameters": plan.cost.num_parameters,
        "multiply_adds": plan.cost.multiply_adds,
        **figures,
    }
    best = figures.get("best")
    if best is None:
        save_tensors(task.model.state_dict(), folder.weights)
        folder.weights_last.unlink(missing_ok=True)
    else:
        save_tensors(task.model.state_dict(), folder.weights_last)
        kept = load_tensors(kept_weights(folder.checkpoint.parent, best["epoch"]))
        save_tensors(kept, folder.weights)
    folder.write("history.json", curves.history)
    folder.write("summary.json", summary)
    return summary


def open_tracker(
    plan: Plan,
    identity: str,
    shards: Path,
    folder: RunFolder,
    facts: dict[str, str],
    deliver: bool = True,
) -> Tracker:
    """The tracker of a run, told all that is known before its first step."""
    hashes = {f"data.{split}": " ".join(values) for split, values in shard_hashes(shards).items()}
    code = {"code_fingerprint": plan.code.fingerprint}
    tags = {"recipe": plan.name, "dataset": plan.dataset, **code, **hashes, **facts}
    run = {"name": plan.name, "identity": identity, "tags": tags}
    tracker = Tracker(folder.tracking, plan.configuration["tracking"], run, deliver)
    tracked = ("name", "seed", "model", "task", "optimizer", "schedule", "trainer", "runtime")
    tracker.parameters({key: plan.configuration[key] for key in tracked})
    made_of = ",".join(f"{split}:{value}" for split, value in hashes.items())
    digest = hashlib.sha256(made_of.encode()).hexdigest()[:16]
    tracker.dataset(plan.dataset, digest, plan.configuration["data"]["source"], split_sizes(shards))
    tracker.artifact(folder.plan)
    return tracker


def end_run(folder: RunFolder, tracker: Tracker, status: str, reason: str) -> None:
    """Tells tracker and folder how the run ended; a full disk must not hide why.

    STOPPED, a trial that its sweep has heard enough of, has ended as it should to the tracker, which has no
    such status: the reason says it.
    """
    told, reason = ("FINISHED", reason or STOPPED_EARLY) if status == "STOPPED" else (status, reason)
    try:
        if (stuck := folder.path / STUCK).is_dir():
            tracker.artifact(stuck, STUCK)
        tracker.finish(told, reason, wait_s=_KILLED_WAIT_S if told == "KILLED" else None)
        folder.end(status, reason)
    except (OSError, UserError):
        if status == "FINISHED":
            raise
