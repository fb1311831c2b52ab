"""A worker: a process somewhere in the cluster that imports once and then trains task after task.

The controller and a worker talk in turns. `begin` hands over a task and returns its first event, `answer`
hands over the decision on that event and returns the next; so a report costs one round trip. A task's last
event is `done`. `interrupt` may come at any time between.
"""

import errno
import faulthandler
import importlib
import os
import threading
import traceback
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from modules.configuration.errors import DISK_FULL, MachineError, UserError
from modules.sweeps.workers.process_state import ProcessState
from modules.training.runs.interruption import Interrupted

_OF_MACHINE = (*DISK_FULL, errno.EIO, errno.ESTALE)
TAKEN_OVER = "taken_over.ckpt"
"""Beside last.ckpt: another trial's checkpoint, from which this one is to go on."""
Assignment = dict[str, Any]
Event = dict[str, Any]


class Reporter:
    """What a trial function tells the controller with.

    Attributes:
        interrupted: whether the trial is to save its state and raise `Interrupted` as soon as it can.
    """

    def __init__(self, events: SimpleQueue[Event], decisions: SimpleQueue[str]) -> None:
        self.interrupted = False
        self._events = events
        self._decisions = decisions

    def __call__(self, trial: int, epoch: int, step: int, metrics: dict[str, float]) -> str:
        """Reports the end of an epoch and waits for the decision.

        Args:
            trial: its number.
            epoch: how many are trained.
            step: how many optimiser steps are taken.
            metrics: what was measured.

        Returns:
            "continue"; or "stop" or "pause": keep the state as of now, and end.
        """
        values = {name: float(value) for name, value in metrics.items()}
        self._events.put({"event": "report", "trial": trial, "epoch": epoch, "step": step, "metrics": values})
        return self._decisions.get()


class Worker:
    """Made a Ray actor of two threads by the pool: one waits for events, the other takes interruptions.

    Args:
        trial: dotted name of the trial function. Importing its module is what makes this worker warm.
        crash_log: gets the stack of a crash of the process (segmentation fault, abort).
    """

    def __init__(self, trial: str, crash_log: str) -> None:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: see modules.configuration.command
        module, _, name = trial.rpartition(".")
        self._trial = getattr(importlib.import_module(module), name)
        self._crashes = Path(crash_log).open("ab")  # noqa: SIM115 (open for as long as the process lives)
        faulthandler.enable(self._crashes)
        self._events: SimpleQueue[Event] = SimpleQueue()
        self._decisions: SimpleQueue[str] = SimpleQueue()
        self._reporter = Reporter(self._events, self._decisions)
        self._state = ProcessState()

    def ready(self) -> Event:
        """Says where this worker is, once it has imported everything."""
        import ray

        return {"event": "ready", "node": ray.get_runtime_context().get_node_id(), "pid": os.getpid()}

    def begin(self, assignments: list[Assignment]) -> Event:
        """Starts a task; returns its first event."""
        self._reporter = Reporter(self._events, self._decisions)
        threading.Thread(target=self._run, args=(assignments,), name="trial", daemon=True).start()
        return self._events.get()

    def answer(self, decision: str) -> Event:
        """Answers the last report; returns the next event."""
        self._decisions.put(decision)
        return self._events.get()

    def interrupt(self) -> None:
        """Asks the running task to save its state and end."""
        self._reporter.interrupted = True

    def _run(self, assignments: list[Assignment]) -> None:
        done: Event = {"event": "done", "results": {}, "failure": None}
        try:
            done["results"] = self._trial(assignments, self._reporter)
        except Interrupted:
            done["results"] = {assignment["trial"]: {"status": "INTERRUPTED"} for assignment in assignments}
        except UserError as error:
            of_machine = isinstance(error, MachineError)
            reason = " ".join(str(error).split())
            done["failure"] = {"reason": reason, "spoilt": False, "of_machine": of_machine}
        except BaseException as error:
            of_machine = isinstance(error, OSError) and error.errno in _OF_MACHINE
            reason = _reason(error, assignments)
            done["failure"] = {"reason": reason, "spoilt": True, "of_machine": of_machine}
        try:
            self._state.restore()
        finally:
            self._events.put(done)


def _reason(error: BaseException, assignments: list[Assignment]) -> str:
    kind = "out of memory" if isinstance(error, MemoryError) else type(error).__name__
    said = next(iter(str(error).splitlines()), "")
    path = Path(assignments[0]["folder"]) / "traceback.txt"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    except OSError:
        return f"{kind}: {said}".removesuffix(": ")
    return f"{kind}: {said}".removesuffix(": ") + f" ({path})"
