"""Trials that end well, badly or not at all, without any training. Workers import them by name."""

import ctypes
import errno
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

from modules.configuration.errors import MachineError, UserError
from modules.training.runs.interruption import Interrupted

NUM_EPOCHS = 4


def quadratic(assignments: list[dict[str, Any]], report: Any) -> dict[int, dict[str, Any]]:
    """Trials whose metric rises to -(x - 3)^2 over a few epochs; `do` says what else happens, and when.

    Each keeps the epoch that it has reached in its folder, and goes on from there.
    """
    return {assignment["trial"]: _one(assignment, report) for assignment in assignments}


def _one(assignment: dict[str, Any], report: Any) -> dict[str, Any]:
    point = assignment["plan"].model["point"]
    folder = Path(assignment["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "attempts").open("a") as file:
        file.write(f"{os.getpid()}\n")
    kept = folder / "epoch"
    begun = int(kept.read_text()) if kept.exists() else 0
    value = 0.0
    for epoch in range(1, NUM_EPOCHS + 1):
        value = -((float(point.get("x", 0)) - 3) ** 2) / epoch
        if epoch > begun:
            _happen(point.get("do", ""), epoch, assignment["attempt"])
            time.sleep(float(point.get("seconds", 0)) / NUM_EPOCHS)
            with (folder / "trained").open("a") as file:
                file.write(f"{epoch}\n")
        if point.get("do") == "measure_nan" and epoch == 2:
            value = float("nan")
        decision = report(assignment["trial"], epoch, 10 * epoch, {"validation/score": value})
        kept.write_text(str(epoch))
        if report.interrupted:
            raise Interrupted(signal.SIGTERM)
        if decision != "continue":
            return {"status": {"stop": "STOPPED", "pause": "PAUSED"}[decision]}
    (folder / "history.json").write_text(json.dumps({"validation/score": [[10 * NUM_EPOCHS, value]]}))
    for name in ("weights.pt", "summary.json"):
        (folder / name).write_text("{}")
    (folder / "outcome.json").write_text(json.dumps({"status": "FINISHED", "reason": ""}))
    return {"status": "FINISHED"}


def _happen(what: str, epoch: int, attempt: int) -> None:
    if epoch != 2:
        return
    match what:
        case "raise":
            raise ZeroDivisionError("the worst happened")
        case "diverge":
            raise UserError("the training diverged", "Lower optimizer.lr")
        case "segfault":
            ctypes.string_at(0)
        case "abort":
            os.abort()
        case "memory":
            raise MemoryError
        case "disk" | "disk_said" if attempt == 1:
            full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            raise full if what == "disk" else MachineError("the disk is full")
        case "raise_once" if attempt == 1:
            raise ZeroDivisionError("the worst happened once")
        case "kill_once":
            if attempt == 1:
                os.kill(os.getpid(), signal.SIGKILL)
        case "kill_raylet":
            if attempt == 1:
                os.kill(os.getppid(), signal.SIGKILL)
                time.sleep(600)
        case "kill_always":
            os.kill(os.getpid(), signal.SIGKILL)
        case "wait":
            time.sleep(600)


def member(assignments: list[dict[str, Any]], report: Any) -> dict[int, dict[str, Any]]:
    """Members of a population whose checkpoint is their lineage: the numbers of those that trained it."""
    (assignment,) = assignments
    folder, number = Path(assignment["folder"]), assignment["trial"]
    checkpoint, taken = folder / "checkpoints" / "last.ckpt", folder / "checkpoints" / "taken_over.ckpt"
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    if taken.exists():
        taken.replace(checkpoint)
    lineage = checkpoint.read_text() if checkpoint.exists() else ""
    for epoch in range(len(lineage) + 1, NUM_EPOCHS + 1):
        lineage += str(number)
        unfinished = checkpoint.with_name("unfinished")
        unfinished.write_text(lineage)
        unfinished.replace(checkpoint)
        value = -((float(assignment["plan"].model["point"]["x"]) - 3) ** 2)
        decision = report(number, epoch, epoch, {"validation/score": value})
        if decision != "continue" and epoch < NUM_EPOCHS:
            return {number: {"status": {"stop": "STOPPED", "pause": "PAUSED"}[decision]}}
    (folder / "lineage").write_text(lineage)
    return {number: {"status": "FINISHED"}}


def empty(assignments: list[dict[str, Any]], report: Any) -> dict[int, dict[str, Any]]:
    """Does nothing."""
    return {assignment["trial"]: {"status": "FINISHED", "value": 0.0} for assignment in assignments}
