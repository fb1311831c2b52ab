"""The spool: what a run has to tell its tracker, on disk, one JSON line an event.

The spool is the queue between the training process, which only ever appends to it, and the drainer, which
reads it from an acknowledged offset. A line counts once its newline is there: a process killed in mid-write
leaves a torn line, which the next writer closes and every reader skips.
"""

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modules.configuration.regular_file import open_regular

EVENTS = "spool.jsonl"  # written by the training process
SYSTEM = "system.jsonl"  # written by the drainer, which watches the training process
NODE_SYSTEM = "system-{}.jsonl"  # written by a worker on another node, which watches itself and that
FOLLOWED = "followed.jsonl"  # of a sweep: the tracking folders of its trials
ROWS_PER_EVENT = 1000  # MLflow takes at most 1000 metrics in one request


class SpoolWriter:
    """Appends whole events; what the disk refuses stays in memory and goes out with the next write.

    Args:
        path: the spool's file, created if missing.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        size = os.fstat(self._descriptor).st_size
        torn = size > 0 and os.pread(self._descriptor, 1, size - 1) != b"\n"
        self._pending = b"\n" if torn else b""

    def write(self, *events: dict[str, Any]) -> None:
        """Appends `events`.

        Raises:
            OSError: the disk refused; nothing is lost, call again (with or without further events).
        """
        self._pending += b"".join(
            json.dumps(event, separators=(",", ":")).encode() + b"\n" for event in events
        )
        while self._pending:
            self._pending = self._pending[os.write(self._descriptor, self._pending) :]

    def sync(self) -> None:
        """Waits until the events written so far would survive a power cut."""
        os.fsync(self._descriptor)

    def size(self) -> int:
        """The file's length in bytes."""
        return os.fstat(self._descriptor).st_size

    def close(self) -> None:
        """Closes the file; a second call does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def read_events(path: Path, offset: int = 0) -> Iterator[tuple[dict[str, Any] | None, int]]:
    """Yields every whole event from byte `offset` on, with the offset of the next; None for a torn line."""
    try:
        file = open_regular(path)
    except FileNotFoundError:
        return
    with file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                return  # still being written
            offset += len(line)
            try:
                event = json.loads(line)
            except ValueError:
                event = None
            yield (event if isinstance(event, dict) and "event" in event else None), offset


def spool_files(folder: Path) -> list[str]:
    """The names of all that a run's tracking folder has to tell: its events first, then each node's system
    metrics."""
    nodes = sorted(path.name for path in folder.glob(NODE_SYSTEM.format("*")))
    return [EVENTS, SYSTEM, *nodes]


def read_followed(folder: Path, offset: int = 0) -> Iterator[tuple[Path, str, int]]:
    """Yields the folders that a sweep's tracking folder follows, from byte `offset` of their list on, each
    with what its run is called there; empty where it keeps its own name."""
    for event, end in read_events(folder / FOLLOWED, offset):
        if event is not None:
            yield Path(os.path.normpath(folder / event["folder"])), event.get("name", ""), end


class ReplayFilter:
    """Tells the steps that a resumed run plays again from those that are new.

    A run resumed from a checkpoint repeats the steps after it. Whatever an earlier session has recorded of a
    metric, up to its highest step, is a replay. Within one session every value counts. A session that adds to
    a finished run (evaluation) may record a step again, but not the very value that is there.

    Attributes:
        latest: the highest step of each metric and its value there, as text.
        barrier: the step up to which the present session only repeats, for each metric.
        adding: whether the present session adds to a finished run.
    """

    def __init__(
        self,
        latest: dict[str, list[Any]] | None = None,
        barrier: dict[str, int] | None = None,
        adding: bool = False,
    ) -> None:
        self.latest = latest or {}
        self.barrier = barrier or {}
        self.adding = adding

    def start(self, adding: bool) -> None:
        """A new session begins."""
        self.adding = adding
        self.barrier = {} if adding else {name: step for name, (step, _) in self.latest.items()}

    def is_new(self, name: str, value: float, step: int) -> bool:
        """Whether the value is not a replay; remembers it."""
        previous = self.latest.get(name)
        recorded = [step, repr(value)]
        if step <= self.barrier.get(name, -math.inf) or (self.adding and previous == recorded):
            return False
        if previous is None or step >= previous[0]:
            self.latest[name] = recorded
        return True


def read_history(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """The learning curves in a spool: (step, value) of each metric in order of step, without replays."""
    curves: dict[str, dict[int, float]] = {}
    replays = ReplayFilter()
    for event, _ in read_events(folder / EVENTS):
        if event is None:
            continue
        if event["event"] == "start":
            replays.start(event["adding"])
        elif event["event"] == "metrics":
            for name, value, step, _ in event["rows"]:
                if replays.is_new(name, value, step):
                    curves.setdefault(name, {})[step] = value
    return {name: sorted(curve.items()) for name, curve in curves.items()}
