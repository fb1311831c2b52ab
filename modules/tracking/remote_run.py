"""A run at the tracker: what is said to MLflow, and how often it is right to say it.

A request that timed out may have been carried out all the same. So all that is said here may be said again:
MLflow's store ignores a value that it has (same name, step, timestamp and value), a parameter set again to
the same value and a tag are what they were, and a run is looked for before it is created.
"""

import getpass
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.configuration.errors import UserError
from modules.tracking.store import IDENTITY_TAG, SPOOL_TAG, runs_with_tag

if TYPE_CHECKING:
    from mlflow import MlflowClient

MAX_PARAMETERS = MAX_TAGS = 100  # MLflow's limits for one request
MAX_TAG = 8000  # and of a tag's length
MLFLOW_TAGS = {"git_commit": "mlflow.source.git.commit"}  # ours, and those that MLflow's pages look for
PARENT_TAG = "mlflow.parentRunId"
REASON_TAG = "reason"

logger = logging.getLogger(__name__)


class RemoteRun:
    """One run at the tracker, found or created.

    Args:
        store: client and experiment, as `open_store` gives them.
        run: the run as its Tracker described it.
        run_id: MLflow's id, if it is known. A store that has lost it gets a new run.
        started_ms: when the run began.
        parent_id: MLflow's id of the run below which a new one is created, if any.

    Attributes:
        run_id: MLflow's id.
        num_refused: things that the tracker will never take, since the start.

    Raises:
        UserError: experiment or run have been deleted by hand.
        mlflow.exceptions.MlflowException: the tracker is away; so may every method.
    """

    def __init__(
        self,
        store: tuple["MlflowClient", str],
        run: dict[str, Any],
        run_id: str,
        started_ms: int,
        parent_id: str = "",
    ) -> None:
        self._client, self._experiment_id = store
        self._spool = run["spool"]
        self.num_refused = 0
        if run_id and _is_there(self._client, run_id):
            self.run_id = run_id
            return
        known = runs_with_tag(self._client, self._experiment_id, SPOOL_TAG, self._spool)
        self.run_id = known[0] if known else self._create(run, started_ms, parent_id)

    def _create(self, run: dict[str, Any], started_ms: int, parent_id: str) -> str:
        tags = {
            IDENTITY_TAG: run["identity"],
            SPOOL_TAG: self._spool,
            "mlflow.user": _user(),
            "mlflow.source.name": "trainyard",
            "mlflow.source.type": "LOCAL",
            **({PARENT_TAG: parent_id} if parent_id else {}),
        }
        created = self._client.create_run(
            self._experiment_id, start_time=started_ms, tags=tags, run_name=run["name"]
        )
        return created.info.run_id

    def begin(self, tags: dict[str, str], status_before: str) -> None:
        """A training session begins: the run is under way, whatever it was before."""
        if status_before not in ("", "RUNNING"):
            self.set_tag(REASON_TAG, f"resumed after {status_before}")
        self._client.update_run(self.run_id, status="RUNNING")
        known = {MLFLOW_TAGS[name]: value for name, value in tags.items() if name in MLFLOW_TAGS}
        self._set_tags({**tags, **known})

    def terminate(self, status: str, reason: str, time_ms: int) -> None:
        """The training has ended."""
        for run_id in runs_with_tag(self._client, self._experiment_id, SPOOL_TAG, self._spool):
            if run_id != self.run_id:  # a request to create that timed out, and was carried out later
                self._client.delete_run(run_id)
        if reason:
            self.set_tag(REASON_TAG, reason)
        self._client.set_terminated(self.run_id, status, end_time=time_ms)

    def log_values(self, rows: list[list[Any]]) -> None:
        """Sends [name, value, step, time_ms]s at once; should one be refused, the others still arrive."""
        from mlflow.entities import Metric

        metrics = [Metric(name, value, time_ms, step) for name, value, step, time_ms in rows]
        try:
            self._client.log_batch(self.run_id, metrics=metrics)
        except Exception as error:
            if not self._is_refusal(error):
                raise
            if len(rows) == 1:
                self.refuse(f"value {rows[0]}", str(error))
                return
            self.log_values(rows[: len(rows) // 2])
            self.log_values(rows[len(rows) // 2 :])

    def log_parameters(self, values: dict[str, str]) -> None:
        """Sends parameters, none of which was sent before with another value."""
        from mlflow.entities import Param

        parameters = [Param(name, value) for name, value in values.items()]
        for start in range(0, len(parameters), MAX_PARAMETERS):
            chunk = parameters[start : start + MAX_PARAMETERS]
            self._say("parameters", lambda chunk=chunk: self._client.log_batch(self.run_id, params=chunk))

    def _set_tags(self, values: dict[str, str]) -> None:
        """Sets tags at once; should one be refused, the others still arrive."""
        from mlflow.entities import RunTag

        tags = [RunTag(name, str(value)[:MAX_TAG]) for name, value in values.items()]
        try:
            for start in range(0, len(tags), MAX_TAGS):
                self._client.log_batch(self.run_id, tags=tags[start : start + MAX_TAGS])
        except Exception as error:
            if not self._is_refusal(error):
                raise
            for name, value in values.items():
                self.set_tag(name, value)

    def set_tag(self, name: str, value: str) -> None:
        """Sets a tag, cut to what MLflow takes."""
        self._say(f"tag {name}", lambda: self._client.set_tag(self.run_id, name, str(value)[:MAX_TAG]))

    def upload(self, file: Path, folder: str) -> None:
        """Uploads a file below `folder` of the run's artefacts."""
        self._client.log_artifact(self.run_id, str(file), folder or None)

    def refuse(self, what: str, why: str) -> None:
        """Notes what will never arrive: to send it again and again would hold up all the rest for ever."""
        self.num_refused += 1
        logger.warning("%s is refused: %s", what, why)

    def _say(self, what: str, request: Callable[[], object]) -> None:
        try:
            request()
        except Exception as error:
            if not self._is_refusal(error):
                raise
            self.refuse(what, str(error))

    def _is_refusal(self, error: Exception) -> bool:
        # BAD_REQUEST is no refusal: it is what MLflow calls a broken database.
        refused = getattr(error, "error_code", "") == "INVALID_PARAMETER_VALUE"
        return refused and _is_there(self._client, self.run_id)


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
            "the run has been deleted in MLflow", f"Restore it with `mlflow runs restore --run-id {run_id}`"
        )
    return True


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container whose user has no name
        return "unknown"
