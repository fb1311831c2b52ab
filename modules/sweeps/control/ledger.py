"""The ledger of a sweep: what happened, in order, one JSON object a line. All else is played back from it.

    {"event": "sweep", "identity", "overrides", "metric", "mode"}          always the first
    {"event": "asked", "trial", "point", "identity"}
    {"event": "refused", "trial", "reason"}                                 its shapes do not agree
    {"event": "started", "trial", "attempt", "node"}
    {"event": "report", "trial", "epoch", "step", "metrics", "decision"}
    {"event": "lost", "trial", "attempt", "reason"}                         worker or node died; tried again
    {"event": "ended", "trial", "status", "value", "reason", "seconds"}     FINISHED STOPPED FAILED REUSED
    {"event": "again", "trial"}                                             one that had failed waits again

Each line is on the disk before anything acts on it; each event has `time_s`.
"""

import json
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock, Timeout

from modules.configuration.errors import UserError
from modules.configuration.refused_access import access_errors
from modules.configuration.regular_file import read_regular

Event = dict[str, Any]


class Ledger:
    """A ledger that one process writes; the kernel lets go of it however that process ends.

    Args:
        path: made with its folder where it is not there.

    Raises:
        UserError: another process writes it, it cannot be written to, or a line in its middle is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = FileLock(path.with_name(".lock"), timeout=0)
        try:
            with access_errors(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                self._lock.acquire()
        except Timeout:
            raise UserError(
                f"another process runs the sweep in {path.parent}", "Wait for it, or stop it and start again"
            ) from None
        try:
            self._events, num_bytes = _read(path)
            # What a kill left of the last line is no event.
            self._file = path.open("ab")
            self._file.truncate(num_bytes)
        except BaseException:
            self._lock.release()
            raise

    def append(self, *events: Event) -> None:
        """Writes events, all of them with one wait for the disk."""
        stamped = [{**event, "time_s": round(time.time(), 3)} for event in events]
        text = "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in stamped)
        self._file.write(text.encode())
        self._file.flush()
        os.fsync(self._file.fileno())
        self._events += stamped

    def events(self) -> list[Event]:
        """All events so far, oldest first."""
        return list(self._events)

    def close(self) -> None:
        self._file.close()
        self._lock.release()

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_events(path: Path) -> list[Event]:
    """The events of a ledger that may be written meanwhile; none where there is no file.

    Raises:
        UserError: a line in its middle is damaged.
    """
    return _read(path)[0]


def _read(path: Path) -> tuple[list[Event], int]:
    """The events, and the number of bytes that they take."""
    try:
        content = read_regular(path)
    except FileNotFoundError:
        return [], 0
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    *lines, torn = content.split(b"\n")
    events = [_event(line, f"{path}:{number}") for number, line in enumerate(lines, 1)]
    return events, len(content) - len(torn)


def _event(line: bytes, place: str) -> Event:
    try:
        event = json.loads(line)
    except ValueError:
        event = None
    if not isinstance(event, dict) or "event" not in event:
        raise UserError(
            f"{place}: no event of a sweep", "The file was damaged: take the folder away to sweep again"
        )
    return event
