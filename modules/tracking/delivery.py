"""Delivery: brings what a spool holds to the tracker, in order, each thing once.

What the tracker has acknowledged is saved after every batch. A batch that was sent and not acknowledged,
because the process was killed in between, is sent again word for word, and changes nothing (see
`remote_run`).
"""

import copy
import logging
import sqlite3
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from modules.configuration.errors import UserError
from modules.tracking.remote_run import REMOVED_REASON, RemoteRun
from modules.tracking.spool import EVENTS, ROWS_PER_EVENT, ReplayFilter, read_events, spool_files
from modules.tracking.store import Stores
from modules.tracking.tracking_folder import STATE, DrainState

KILLED_REASON = "the process ended without a word (SIGKILL, out of memory, power)"

logger = logging.getLogger(__name__)


class Delivery:
    """Sends one folder's spool. Hold the folder's drainer lock while using it.

    Args:
        folder: a tracking folder that a Tracker has opened.
        run: what `read_run` says of it.
        stores: connections to share with other deliveries.
        name: what a new run is called; its own name if empty.

    Attributes:
        run: the same.
        place: the tracker's URI and the experiment there.
        state: how far the tracker has come.
        parent_id: MLflow's id of the run that becomes this one's parent, should this one be new.
    """

    def __init__(
        self, folder: Path, run: dict[str, Any], stores: Stores | None = None, name: str = ""
    ) -> None:
        self._folder = folder
        self._stores = stores or Stores()
        self._remote: RemoteRun | None = None
        self.run = run
        self._name = name
        self.place = (run["settings"]["uri"], run["settings"]["experiment"])
        self.parent_id = ""
        state = DrainState.load(folder)
        if state is None or (state.uri, state.experiment) != self.place:
            # Another tracker than before is told the whole story; perhaps it has been told before.
            state = DrainState(*self.place, is_requested=(folder / STATE).exists())
        self.state = state

    def send(self) -> bool:
        """Sends what the spool holds now: values, facts and statuses first, then files.

        Returns:
            Whether anything was sent.

        Raises:
            Exception: whatever MLflow's client raises while the tracker is away. Call again later.
        """
        sent = [self._send_file(name) for name in spool_files(self._folder)]
        return self._send_artifacts() or any(sent)

    def finish_unspoken(self) -> None:
        """The training process is gone: if it has not said how it ended, it was killed."""
        if self.state.status == "RUNNING":
            remote = self._connected()
            remote.terminate("KILLED", KILLED_REASON, time.time_ns() // 1_000_000, self.state.may_be_doubled)
            self.state.status = "KILLED"
            self._save()

    def finish_removed(self) -> None:
        """The folder is gone, and with it whatever the run would still have said."""
        if self.state.run_id and self.state.status == "RUNNING":
            store = self._stores.open(self.run["settings"])
            remote = self._remote or RemoteRun(store, self.run, self.state.run_id, False, 0, "")
            now_ms = time.time_ns() // 1_000_000
            remote.terminate("KILLED", REMOVED_REASON, now_ms, self.state.may_be_doubled)

    def pause(self, error: Exception) -> None:
        """Notes why the tracker does not take the rest, and lets go of it."""
        self._remote = None
        self._stores.forget()
        line = str(error) if isinstance(error, UserError) else f"{self.state.uri}: {_spoken(error)}"
        if line != self.state.error:
            self.state.error = line
            with suppress(OSError):  # the disk may be what is full
                self.state.save(self._folder)
            logger.warning("%s", line, exc_info=not _is_foreseen(error))

    def _save(self) -> None:
        if self.state.error:
            logger.warning("the tracker is back")
            self.state.error = ""
        if self._remote is not None:
            self.state.num_refused += self._remote.num_refused
            self._remote.num_refused = 0
        self.state.save(self._folder)

    def _connected(self) -> RemoteRun:
        if self._remote is None:
            event, _ = next(read_events(self._folder / EVENTS), (None, 0))
            started_ms = event["time_ms"] if event else time.time_ns() // 1_000_000
            store = self._stores.open(self.run["settings"])
            run_id, may_be_there = self.state.run_id, self.state.is_requested
            if not may_be_there:
                self.state.is_requested = True
                self.state.save(self._folder, durably=True)
            named = self.run | {"folder": str(self._folder)} | ({"name": self._name} if self._name else {})
            remote = RemoteRun(store, named, run_id, may_be_there, started_ms, self.parent_id)
            if run_id not in ("", remote.run_id):
                logger.warning("the tracker has lost run %s: it is told everything again", run_id)
                self.state = DrainState(*self.place)
            if remote.is_new:  # over HTTP, MLflow's client asks again by itself
                self.state.may_be_doubled |= may_be_there or self.state.uri.startswith("http")
            self._remote, self.state.run_id = remote, remote.run_id
            self._save()
        return self._remote

    def _send_file(self, name: str) -> bool:
        """Sends one spool file from its acknowledged offset on, in full batches."""
        if next(read_events(self._folder / name, self.state.offsets.get(name, 0)), None) is None:
            return False
        remote = self._connected()  # may start the story over: look at the state after it
        # A copy: what is not acknowledged in the end has not been recorded.
        draft = copy.deepcopy(self.state)
        replays = ReplayFilter(dict(draft.latest), draft.barrier, draft.adding)

        def acknowledge(offset: int) -> None:
            nonlocal draft
            if offset > self.state.offsets.get(name, 0):
                remote.flush()
                if name == EVENTS:
                    draft.latest = dict(replays.latest)
                    draft.barrier, draft.adding = replays.barrier, replays.adding
                draft.offsets[name] = offset
                self.state = draft
                self._save()
                draft = copy.deepcopy(draft)

        num_rows, offset = 0, self.state.offsets.get(name, 0)
        for event, end in read_events(self._folder / name, offset):
            if event is None:
                logger.warning("%s: a torn line before byte %d is left out", name, end)
            elif event["event"] == "metrics":
                if num_rows + len(event["rows"]) > ROWS_PER_EVENT:
                    acknowledge(offset)
                    num_rows = 0
                rows = [row for row in event["rows"] if name != EVENTS or replays.is_new(*row[:3])]
                remote.values(rows)
                num_rows += len(rows)
            else:
                self._take(event, draft, replays)
            offset = end
        acknowledge(offset)
        return True

    def _take(self, event: dict[str, Any], draft: DrainState, replays: ReplayFilter) -> None:
        remote = self._connected()
        match event["event"]:
            case "start":
                replays.start(event["adding"])
                if not event["adding"]:
                    remote.begin(self.run["tags"], draft.status)
                    draft.status = "RUNNING"
            case "parameters":
                # MLflow lets no parameter change, and a resumed run may differ in threads or device.
                new = {name: value for name, value in event["values"].items() if name not in draft.parameters}
                remote.parameters(new)
                draft.parameters += new
            case "tag":
                remote.tag(event["name"], event["value"])
            case "dataset":
                remote.dataset(event["values"])
            case "model":
                remote.model(event["name"], event["step"], event["metrics"], event["tags"])
            case "artifact":
                draft.artifacts.append([event["path"], event["folder"]])
            case "finish" if not replays.adding:
                remote.terminate(event["status"], event["reason"], event["time_ms"], draft.may_be_doubled)
                draft.status = event["status"]

    def _send_artifacts(self) -> bool:
        """Uploads the files that wait; one that cannot go holds up no value."""
        sent = False
        while self.state.artifacts:
            remote = self._connected()
            path, folder = self.state.artifacts[0]
            if (self._folder / path).is_file():
                remote.upload(self._folder / path, folder)
            else:
                remote.refuse(f"artefact {path}", "its copy is gone")
            self.state.artifacts.pop(0)
            self._save()
            sent = True
        return sent


def _spoken(error: BaseException) -> str:
    """What is wrong in few words: MLflow wraps a refused connection in a page of them."""
    root = error
    while inner := root.__cause__ or root.__context__:
        root = inner
    if isinstance(root, OSError | sqlite3.Error):
        return getattr(root, "strerror", None) or str(root)
    first_line = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {first_line}"[:300]


def _is_foreseen(error: Exception) -> bool:
    from mlflow.exceptions import MlflowException

    return isinstance(error, MlflowException | UserError | OSError)
