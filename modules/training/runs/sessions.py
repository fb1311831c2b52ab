"""Where the wall time of a run has gone, over all of its sessions: `sessions.jsonl` of its folder.

A session is one process's part of a training; a run that was killed and went on has several. Each appends
what it has spent so far, every half second and later every hundredth of its time, so that a kill loses no
more than that. What a later session trained again is taken from the steps of the earlier one and counted as
lost, and so is the time from a worker's death to its successor's start under one driver; time between two
commands counts nowhere. Imports no torch.
"""

import json
import math
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modules.configuration.errors import UserError
from modules.configuration.regular_file import read_regular_text

SESSIONS = "sessions.jsonl"
PARTS = ("start_up", "steps", "data", "communication", "checkpoints", "validation", "lost", "other")
"""What the wall time is made of; `SessionTimes.seconds` explains them."""
_TRAINING = ("steps", "data", "communication")


@dataclass(frozen=True)
class Began:
    """When and under which command a session began.

    Attributes:
        time_s: seconds since 1970, on the clock of the machine that trains.
        driver: names the command that starts workers again when one has died; empty where there is none.
    """

    time_s: float
    driver: str = ""


class Session:
    """Appends what one session spends.

    Args:
        path: of sessions.jsonl.
        began: this session. If the last one had the same driver, it begins now: its start was waited for.
        cpus: cores that it holds.
        gpus: GPUs that it holds.

    Attributes:
        seconds_before: since it began.
    """

    def __init__(self, path: Path, began: Began, cpus: float, gpus: float) -> None:
        self._path = path
        self._name = uuid.uuid4().hex[:8]
        now_s = time.time()
        earlier = [event for event in _events(path) if event["event"] == "start"]
        again = bool(began.driver) and bool(earlier) and earlier[-1]["driver"] == began.driver
        began_s = now_s if again else min(began.time_s, now_s)
        self.seconds_before = now_s - began_s
        self._write({"event": "start", "driver": began.driver, "cpus": cpus, "gpus": gpus}, began_s)

    def spent(self, step: int, seconds: Mapping[str, float]) -> None:
        """Appends what has been spent so far.

        Args:
            step: optimiser steps of the run.
            seconds: of this session by part.
        """
        rounded = {part: round(value, 4) for part, value in seconds.items()}
        self._write({"event": "spent", "step": step, "seconds": rounded}, time.time())

    def _write(self, event: dict[str, Any], time_s: float) -> None:
        line = json.dumps({**event, "session": self._name, "time_s": round(time_s, 3)})
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError:
            pass  # a full disk ends the training where it keeps more than times


@dataclass(frozen=True)
class SessionTimes:
    """What all sessions of a run have spent together.

    Attributes:
        seconds: by part: `start_up` from the start of the command to the first step (imports, building,
            restoring), `steps` of which the result holds every one, `data` waited for, `communication` of
            several workers, `checkpoints` written, `validation`, `lost` to restarts, and `other` (Lightning's
            own time, bringing blocks to the device, callbacks).
        num_steps: optimiser steps that `steps` are the seconds of.
        cpu_hours: wall hours times the cores held.
        gpu_hours: wall hours times the GPUs held.
    """

    seconds: dict[str, float]
    num_steps: int
    cpu_hours: float
    gpu_hours: float

    @property
    def wall_seconds(self) -> float:
        """Of all sessions: the sum of the parts."""
        return sum(self.seconds.values())

    @property
    def training_seconds(self) -> float:
        """Of steps that count, with their waiting for data and for each other."""
        return sum(self.seconds[part] for part in _TRAINING)

    @property
    def goodput(self) -> float:
        """The share of the wall time in which steps that count were trained."""
        return self.seconds["steps"] / self.wall_seconds if self.wall_seconds else 0.0


@dataclass
class _Stretch:
    """Steps that were trained one after another."""

    first: int
    last: int
    seconds: float


@dataclass
class _Account:
    """The sessions so far, one event after another."""

    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PARTS, 0.0))
    stretches: list[_Stretch] = field(default_factory=list)
    cpu_seconds: float = 0.0
    gpu_seconds: float = 0.0
    start: dict[str, Any] | None = None
    last: dict[str, Any] | None = None
    ended_s: float = 0.0

    def take_start(self, event: dict[str, Any]) -> None:
        again = self.start is not None and event["driver"] and self.start["driver"] == event["driver"]
        gap_s = max(0.0, event["time_s"] - self.ended_s) if again else 0.0
        self.seconds["lost"] += gap_s
        self.start, self.last, self.ended_s = event, None, event["time_s"]
        self._hold(gap_s)

    def take_spent(self, event: dict[str, Any]) -> None:
        before = self.last["seconds"] if self.last else {}
        spent = {part: event["seconds"].get(part, 0.0) - before.get(part, 0.0) for part in PARTS}
        step = event["step"]
        self._go_back_to(step)
        if self.last is not None and step > self.last["step"]:
            self.stretches.append(_Stretch(self.last["step"], step, spent["steps"]))
        for part, value in spent.items():
            self.seconds[part] += value
        self._hold(sum(spent.values()))
        self.last, self.ended_s = event, event["time_s"]

    def _hold(self, seconds: float) -> None:
        if self.start is not None:
            self.cpu_seconds += seconds * self.start["cpus"]
            self.gpu_seconds += seconds * self.start["gpus"]

    def _go_back_to(self, step: int) -> None:
        """What was trained beyond a step is trained again, and was lost."""
        while self.stretches and self.stretches[-1].last > step:
            stretch = self.stretches.pop()
            kept = max(0, step - stretch.first) / (stretch.last - stretch.first)
            lost_s = stretch.seconds * (1 - kept)
            self.seconds["steps"] -= lost_s
            self.seconds["lost"] += lost_s
            if kept > 0:
                self.stretches.append(_Stretch(stretch.first, step, stretch.seconds * kept))


def read_times(path: Path) -> SessionTimes | None:
    """What the sessions of a run have spent; None where none has written.

    Args:
        path: of sessions.jsonl; what a kill left of a line is passed over.
    """
    account = _Account()
    for event in _events(path):
        if event["event"] == "start":
            account.take_start(event)
        elif account.start is not None and account.start["session"] == event["session"]:
            account.take_spent(event)
    if account.start is None:
        return None
    return SessionTimes(
        seconds=account.seconds,
        num_steps=sum(stretch.last - stretch.first for stretch in account.stretches),
        cpu_hours=account.cpu_seconds / 3600,
        gpu_hours=account.gpu_seconds / 3600,
    )


def hours_of(folder: Path) -> tuple[float, float] | None:
    """The core and GPU hours of a run; None where nothing tells.

    Args:
        folder: of the run; one that was trained in a stack has its share of them in its summary alone.
    """
    times = read_times(folder / SESSIONS)
    if times is not None:
        return times.cpu_hours, times.gpu_hours
    try:
        summary = json.loads(read_regular_text(folder / "summary.json"))
        return float(summary["cpu_hours"]), float(summary["gpu_hours"])
    except (OSError, UserError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _events(path: Path) -> list[dict[str, Any]]:
    try:
        lines = read_regular_text(path).splitlines()
    except (OSError, UserError):
        return []
    return [event for line in lines if (event := _event(line)) is not None]


def _event(line: str) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict) or not _is_seconds(event.get("time_s")):
        return None
    if not isinstance(event.get("session"), str):
        return None
    if event.get("event") == "start":
        whole = isinstance(event.get("driver"), str)
        return event if whole and _is_seconds(event.get("cpus")) and _is_seconds(event.get("gpus")) else None
    seconds, step = event.get("seconds"), event.get("step")
    if event.get("event") != "spent" or type(step) is not int or not isinstance(seconds, dict):
        return None
    return event if all(map(_is_seconds, seconds.values())) else None


def _is_seconds(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf
