"""Delivery: brings what a spool holds to an MLflow run, each thing once.

The state it acknowledges is saved after every batch. A batch that was sent and not acknowledged, because
the process was killed in between, is sent again with the same timestamps, and MLflow's store ignores a row
it has.
"""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.configuration.errors import UserError
from modules.tracking.folder import DrainState
from modules.tracking.spool import EVENTS, ROWS_PER_EVENT, SYSTEM, ReplayFilter, read_events
from modules.tracking.store import IDENTITY_TAG, SPOOL_TAG, open_store, runs_with_tag

if TYPE_CHECKING:
    from mlflow import MlflowClient

MAX_ENTITIES = 100  # MLflow's limit of parameters in one request
MAX_TAG = 8000  # and of a tag's length
REASON_TAG = "reason"
KILLED_REASON = "the process ended without a word (SIGKILL, out of memory, power)"

logger = logging.getLogger(__name__)


class Delivery:
    """Sends one folder's spool. Hold the folder's drainer lock while using it.

    Args:
        folder: a tracking folder that a Tracker has opened.
        run: what `read_run` says of it.
    """

    def __init__(self, folder: Path, run: dict[str, Any]) -> None:
        self._folder = folder
        self._run = run
        self._settings = run["settings"]
        self._client: MlflowClient | None = None
        place = (self._settings["uri"], self._settings["experiment"])
        state = DrainState.load(folder)
        # Another tracker than before is sent the whole story.
        self.state = state if state and (state.uri, state.experiment) == place else DrainState(*place)

    @property
    def run(self) -> dict[str, Any]:
        """What this delivery knows of the run."""
        return self._run

    def send(self) -> bool:
        """Sends what the spool holds now: values, facts and statuses first, then files.

        Returns:
            Whether anything was sent.

        Raises:
            Exception: whatever the tracker's client raises while the tracker is away. Call again later.
        """
        sent = [self._send_file(name) for name in (EVENTS, SYSTEM)]
        return self._send_artifacts() or any(sent)

    def finish_unspoken(self) -> None:
        """The training process is gone: if it has not said how it ended, it was killed."""
        if self.state.status == "RUNNING":
            self._connect()
            self._terminate("KILLED", KILLED_REASON, time.time_ns() // 1_000_000)
            self._save()

    def pause(self, error: Exception) -> None:
        """Notes why the tracker does not take the rest, and lets go of it."""
        self._client = None
        line = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
        if line != self.state.error:
            self.state.error = line[:500]
            self.state.save(self._folder)
            logger.warning("%s", line, exc_info=not _is_foreseen(error))

    def _save(self) -> None:
        if self.state.error:
            logger.warning("the tracker is back")
        self.state.error = ""
        self.state.save(self._folder)

    @property
    def _tracker(self) -> "MlflowClient":
        assert self._client is not None
        return self._client

    def _connect(self) -> None:
        """Opens the store, and finds or creates the run there."""
        if self._client is not None:
            return
        client, experiment_id = open_store(self._settings)
        if self.state.run_id and not _is_there(client, self.state.run_id):
            logger.warning(
                "the tracker no longer knows run %s: it is sent everything again", self.state.run_id
            )
            self.state = DrainState(self.state.uri, self.state.experiment)
        if not self.state.run_id:
            # A request that timed out may have been carried out all the same: look before creating.
            known = runs_with_tag(client, experiment_id, SPOOL_TAG, self._run["spool"])
            if known:
                self.state.run_id = known[0]
            else:
                tags = {IDENTITY_TAG: self._run["identity"], SPOOL_TAG: self._run["spool"]}
                created = client.create_run(
                    experiment_id, start_time=self._started_ms(), tags=tags, run_name=self._run["name"]
                )
                self.state.run_id = created.info.run_id
            self._save()
        self._client = client

    def _started_ms(self) -> int:
        event, _ = next(read_events(self._folder / EVENTS), (None, 0))
        return event["time_ms"] if event else time.time_ns() // 1_000_000

    def _send_file(self, name: str) -> bool:
        """Sends one spool file from its acknowledged offset on; values are gathered into full batches."""
        begin = offset = self.state.offsets.get(name, 0)
        replays = ReplayFilter(dict(self.state.latest), self.state.barrier, self.state.adding)
        rows: list[list[Any]] = []

        def acknowledge(offset: int) -> None:
            if offset > self.state.offsets.get(name, 0):
                self._send_metrics(rows)
                rows.clear()
                if name == EVENTS:
                    self.state.latest = dict(replays.latest)
                    self.state.barrier, self.state.adding = replays.barrier, replays.adding
                self.state.offsets[name] = offset
                self._save()

        for event, end in read_events(self._folder / name, offset):
            self._connect()
            if event is not None and event["event"] == "metrics":
                if len(rows) + len(event["rows"]) > ROWS_PER_EVENT:
                    acknowledge(offset)
                rows += [row for row in event["rows"] if name == SYSTEM or replays.is_new(*row[:3])]
            else:
                acknowledge(offset)
                if event is None:
                    logger.warning("%s: a torn line before byte %d is left out", name, end)
                else:
                    self._send_event(event, replays)
                acknowledge(end)
            offset = end
        acknowledge(offset)
        return offset > begin

    def _send_metrics(self, rows: list[list[Any]]) -> None:
        """Sends values in one request; should the tracker refuse one, the others still arrive."""
        if not rows:
            return
        from mlflow.entities import Metric

        metrics = [Metric(name, value, time_ms, step) for name, value, step, time_ms in rows]
        if len(rows) == 1:
            self._unless_refused(
                f"metric {rows[0]}", self._tracker.log_batch, self.state.run_id, metrics=metrics
            )
            return
        try:
            self._tracker.log_batch(self.state.run_id, metrics=metrics, synchronous=True)
        except Exception as error:
            if not self._is_refusal(error):
                raise
            self._send_metrics(rows[: len(rows) // 2])
            self._send_metrics(rows[len(rows) // 2 :])

    def _send_event(self, event: dict[str, Any], replays: ReplayFilter) -> None:
        match event["event"]:
            case "start":
                self._begin_session(event, replays)
            case "parameters":
                self._send_parameters(event["values"])
            case "tag":
                self._send_tags({event["name"]: event["value"]})
            case "artifact":
                self.state.artifacts.append([event["path"], event["folder"]])
            case "finish" if not replays.adding:
                self._terminate(event["status"], event["reason"], event["time_ms"])

    def _begin_session(self, event: dict[str, Any], replays: ReplayFilter) -> None:
        replays.start(event["adding"])
        if event["adding"]:
            if self.state.status == "RUNNING":  # two cannot write at once: the one before has died
                self._terminate("KILLED", KILLED_REASON, event["time_ms"])
            return
        if self.state.status not in ("", "RUNNING"):
            self._tracker.set_tag(self.state.run_id, REASON_TAG, f"resumed after {self.state.status}")
        self._tracker.update_run(self.state.run_id, status="RUNNING")
        self._send_tags(self._run["tags"])
        self.state.status = "RUNNING"

    def _send_parameters(self, values: dict[str, str]) -> None:
        from mlflow.entities import Param

        new = [Param(name, value) for name, value in values.items() if name not in self.state.parameters]
        for start in range(0, len(new), MAX_ENTITIES):
            chunk = new[start : start + MAX_ENTITIES]
            self._unless_refused("parameters", self._tracker.log_batch, self.state.run_id, params=chunk)
        self.state.parameters += [parameter.key for parameter in new]

    def _send_tags(self, tags: dict[str, str]) -> None:
        for name, value in tags.items():
            self._unless_refused(
                f"tag {name}", self._tracker.set_tag, self.state.run_id, name, str(value)[:MAX_TAG]
            )

    def _send_artifacts(self) -> bool:
        """Uploads the files that wait; one that cannot go holds up no metric."""
        sent = False
        while self.state.artifacts:
            self._connect()
            path, folder = self.state.artifacts[0]
            if (self._folder / path).is_file():
                self._tracker.log_artifact(self.state.run_id, str(self._folder / path), folder or None)
            else:
                self._refuse(f"artifact {path}", "its copy is gone")
            self.state.artifacts.pop(0)
            self._save()
            sent = True
        return sent

    def _terminate(self, status: str, reason: str, time_ms: int) -> None:
        experiment_id = self._tracker.get_run(self.state.run_id).info.experiment_id
        for run_id in runs_with_tag(self._tracker, experiment_id, SPOOL_TAG, self._run["spool"]):
            if run_id != self.state.run_id:  # made by a request that was carried out after it had timed out
                self._tracker.delete_run(run_id)
        if reason:
            self._send_tags({REASON_TAG: reason})
        self._tracker.set_terminated(self.state.run_id, status, end_time=time_ms)
        self.state.status = status

    def _unless_refused(
        self, what: str, call: Callable[..., object], *arguments: object, **named: object
    ) -> None:
        try:
            call(*arguments, **named)
        except Exception as error:
            if not self._is_refusal(error):
                raise
            self._refuse(what, str(error))

    def _is_refusal(self, error: Exception) -> bool:
        """Whether the tracker will never take this: sending it again would hold up all the rest for ever."""
        if getattr(error, "error_code", "") not in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST"):
            return False
        return _is_there(self._tracker, self.state.run_id)

    def _refuse(self, what: str, why: str) -> None:
        self.state.num_refused += 1
        logger.warning("the tracker refuses %s: %s", what, why)


def _is_there(client: "MlflowClient", run_id: str) -> bool:
    """Whether the tracker knows the run.

    Raises:
        UserError: it has been deleted by hand, which may be undone.
    """
    from mlflow.exceptions import MlflowException

    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise
    if run.info.lifecycle_stage != "active":
        raise UserError(
            "the run has been deleted in MLflow", f"Restore it with `mlflow runs restore --run-id {run_id}`."
        )
    return True


def _is_foreseen(error: Exception) -> bool:
    from mlflow.exceptions import MlflowException

    return isinstance(error, MlflowException | UserError | OSError)
