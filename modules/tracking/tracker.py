"""Tracker: what the training process sees of tracking.

It appends to memory and, about once a second, to a spool on disk; a process of its own (`drainer`) brings the
spool to MLflow. So training neither imports MLflow nor ever waits for it, and a tracker that is down, slow or
locked is of no concern to it: what could not be sent stays in the spool.
"""

import json
import os
import posixpath
import re
import sys
import threading
import time
import uuid
from collections import deque
from pathlib import Path
from typing import Any

from filelock import Timeout

from modules.configuration.errors import UserError
from modules.tracking.drainer_process import DrainerProcess
from modules.tracking.parameters import flatten
from modules.tracking.spool import EVENTS, ROWS_PER_EVENT, SpoolWriter
from modules.tracking.store import absolute_settings
from modules.tracking.tracking_folder import (
    RUN,
    DrainState,
    keep_file,
    read_run,
    write_json,
    writer_lock,
)

STATUSES = ("FINISHED", "FAILED", "KILLED")
FLUSH_EVERY_S = 1.0
WRITER_WAIT_S = 5.0
DRAIN = "Send it with `python -m pipelines.track drain`."


class Tracker:
    """Records one run. Not to be called from within a signal handler: set a flag there, and act on it later.

    Args:
        folder: the run's tracking folder, made if missing. A folder that holds a run goes on with it.
        settings: the section `tracking` of the configuration.
        run: {"name", "identity", "tags": {name: value}}.
        deliver: whether a process of this run's own brings the spool to the tracker. False only writes the
            spool, and leaves it to a SweepTracker that follows this folder: a trial costs no process.

    Raises:
        UserError: the settings name no usable store, or another process is writing this spool.
    """

    def __init__(
        self, folder: Path, settings: dict[str, Any], run: dict[str, Any], deliver: bool = True
    ) -> None:
        folder = Path(folder).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        known = read_run(folder) or {"spool": uuid.uuid4().hex}
        description = {**run, "spool": known["spool"], "settings": absolute_settings(settings)}
        self._open(folder, description, adding=False, deliver=deliver)

    @classmethod
    def reopen(cls, folder: Path) -> "Tracker":
        """A tracker that adds to a run which has ended, and leaves its status alone.

        Raises:
            UserError: there is no such run, or it is still being written.
        """
        folder = Path(folder).absolute()
        description = read_run(folder)
        if description is None:
            raise UserError(f"{folder} holds no tracked run", "Train it first.")
        tracker = cls.__new__(cls)
        tracker._open(folder, description, adding=True, deliver=True)
        return tracker

    def _open(self, folder: Path, description: dict[str, Any], adding: bool, deliver: bool) -> None:
        self._folder = folder
        self._settings = description["settings"]
        self._lock = writer_lock(folder)
        try:
            self._lock.acquire(timeout=WRITER_WAIT_S)
        except Timeout:
            raise UserError(
                f"another process is recording into {folder}", "Wait for it, or end it, and start again."
            ) from None
        write_json(folder / RUN, {**description, "pid": None if adding else os.getpid()})
        self._rows: deque[tuple[str, float, int, int]] = deque()
        self._names: set[str] = set()
        self._writer = SpoolWriter(folder / EVENTS)
        self._writing = threading.RLock()
        self._drainer = DrainerProcess(folder) if deliver and self._settings["uri"] is not None else None
        self._warnings: set[str] = set()
        self._finished = threading.Event()
        self._write({"event": "start", "adding": adding, "time_ms": now_ms()})
        self._tend_drainer()
        self._thread = threading.Thread(target=self._keep_flushing, name="tracking", daemon=True)
        self._thread.start()

    def metric(self, name: str, value: float, step: int) -> None:
        """Records one value. Takes about a microsecond and never blocks.

        Raises:
            ValueError: MLflow would refuse the name.
        """
        if name not in self._names:
            if not _is_metric_name(name):
                raise ValueError(f"{name!r} is no name for a metric: letters, digits, space and _-.:/ only")
            self._names.add(name)
        self._rows.append((name, float(value), int(step), time.time_ns() // 1_000_000))

    def metrics(self, values: dict[str, float], step: int) -> None:
        """Records several values of one step."""
        for name, value in values.items():
            self.metric(name, value, step)

    def parameters(self, values: dict[str, Any]) -> None:
        """Records a nested configuration as parameters with dotted names; the first value of a name stays."""
        self._write({"event": "parameters", "values": flatten(values)})

    def tag(self, name: str, value: str) -> None:
        """Records a fact about the run; a later value replaces an earlier one."""
        self._write({"event": "tag", "name": name, "value": str(value)})

    def dataset(self, name: str, digest: str, source: dict[str, Any], profile: dict[str, int]) -> None:
        """Records what the run is trained on.

        Args:
            name: of the dataset.
            digest: of its contents, at most 36 characters.
            source: where it comes from, as plain values.
            profile: samples by split.
        """
        kind = str(source.get("_target_", "")).rpartition(".")[2] or "unknown"
        values = {"name": name, "digest": digest, "source_type": kind}
        values |= {"source": json.dumps(source), "profile": json.dumps(profile)}
        self._write({"event": "dataset", "values": values})

    def model(self, name: str, step: int, metrics: dict[str, float], tags: dict[str, str]) -> None:
        """Records weights that the run kept, as one of MLflow's logged models; the weights stay where they
        are.

        Args:
            name: of them within the run.
            step: after which they were kept.
            metrics: what was measured of them.
            tags: what else is known of them.
        """
        self._write({"event": "model", "name": name, "step": step, "metrics": metrics, "tags": tags})

    def artifact(self, path: Path, folder: str = "") -> None:
        """Hands a copy of a file, or of a folder's files, to the run, below `folder` there.

        Raises:
            FileNotFoundError: there is no such file.
        """
        path = Path(path)
        files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
        for file in files:
            below = file.relative_to(path).parent.as_posix() if path.is_dir() else "."
            target = "/".join(part for part in (folder.strip("/"), below) if part not in ("", "."))
            try:
                kept = keep_file(self._folder, file)
            except FileNotFoundError:
                raise
            except OSError as error:
                self._warn(f"{file} is not handed on: {error.strerror}")
                continue
            self._write({"event": "artifact", "path": kept, "folder": target})

    def flush(self) -> None:
        """Returns when everything so far is safe on disk; to be called before a checkpoint is written."""
        if self._write():
            self._writer.sync()

    def finish(self, status: str = "FINISHED", reason: str = "", wait_s: float | None = None) -> bool:
        """Ends the recording, and waits for the tracker to take the rest; a second call does nothing.

        Args:
            status: FINISHED, FAILED or KILLED.
            reason: why, in one line.
            wait_s: seconds to wait at most; the setting `drain_timeout_s` if not given.

        Returns:
            Whether the tracker has everything (also where there is no tracker, or others deliver).
        """
        if status not in STATUSES:
            raise ValueError(f"{status!r} is none of {', '.join(STATUSES)}")
        if self._finished.is_set():
            return True
        self._finished.set()
        self._thread.join()
        self._write({"event": "finish", "status": status, "reason": reason, "time_ms": now_ms()})
        self.flush()
        size = self._writer.size()
        self._writer.close()
        self._lock.release()
        if self._drainer is None:
            return True
        return self._wait_for(
            self._drainer, size, self._settings["drain_timeout_s"] if wait_s is None else wait_s
        )

    @staticmethod
    def run_id(folder: Path, wait_s: float = 0.0) -> str | None:
        """MLflow's id of the folder's run; None if the tracker has not taken the run within `wait_s`."""
        deadline = time.monotonic() + wait_s
        while True:
            state, description = DrainState.load(Path(folder)), read_run(Path(folder))
            if description is None or description["settings"]["uri"] is None:
                return None
            if state is not None and state.run_id and state.uri == description["settings"]["uri"]:
                return state.run_id
            if time.monotonic() >= deadline:
                return None
            time.sleep(0.05)

    def _write(self, *events: dict[str, Any]) -> bool:
        """Moves buffered values, then `events`, to the spool; what a full disk refuses waits in memory."""
        with self._writing:
            rows = [self._rows.popleft() for _ in range(len(self._rows))]
            chunks = [rows[start : start + ROWS_PER_EVENT] for start in range(0, len(rows), ROWS_PER_EVENT)]
            try:
                self._writer.write(*({"event": "metrics", "rows": chunk} for chunk in chunks), *events)
            except OSError as error:
                self._warn(f"{self._folder / EVENTS}: {error.strerror}; what is recorded waits in memory")
                return False
        return True

    def _keep_flushing(self) -> None:
        while not self._finished.wait(FLUSH_EVERY_S):
            self._write()
            self._tend_drainer()

    def _tend_drainer(self) -> None:
        try:
            if self._drainer is not None:
                self._drainer.tend()
        except OSError as error:
            self._warn(f"the drainer cannot start: {error.strerror}")

    def _warn(self, line: str) -> None:
        """Says each thing once."""
        if line not in self._warnings:
            self._warnings.add(line)
            print(f"tracking: {line}", file=sys.stderr, flush=True)

    def _wait_for(self, drainer: DrainerProcess, size: int, wait_s: float) -> bool:
        deadline = time.monotonic() + wait_s
        drainer.hurry()
        while why := self._why_left(size):
            if time.monotonic() >= deadline:
                self._warn(f"the rest stays in {self._folder}: {why}. {DRAIN}")
                return False
            self._tend_drainer()
            time.sleep(0.05)
        return True

    def _why_left(self, size: int) -> str:
        """Why the tracker lacks something of the first `size` bytes of the spool; empty if it has all."""
        state = DrainState.load(self._folder)
        if state is not None and state.uri == self._settings["uri"] and state.holds_all(size):
            return ""
        return state.error if state is not None and state.error else "the tracker did not take it in time"


def _is_metric_name(name: str) -> bool:
    """MLflow's rule: at most 250 of these characters, as a plain path that leads nowhere else."""
    plain = re.fullmatch(r"[/\w.\- :]{1,250}", name) and posixpath.normpath(name) == name
    return bool(plain) and name != "." and not name.startswith(("..", "/"))


def now_ms() -> int:
    """Milliseconds since 1970, as MLflow counts time."""
    return time.time_ns() // 1_000_000
