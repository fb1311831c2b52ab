"""A run at the tracker: what is said to MLflow, and how often it is right to say it.

A request that timed out may have been carried out all the same. So all that is said here may be said again:
MLflow's store ignores a value that it has (same name, step, timestamp and value), a parameter set again to
the same value and a tag are what they were, and a run is looked for before it is created.
"""

import getpass
import logging
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.configuration.errors import UserError
from modules.tracking.spool import ROWS_PER_EVENT
from modules.tracking.store import FOLDER_TAG, HOST_TAG, IDENTITY_TAG, SPOOL_TAG, runs_with_tag

if TYPE_CHECKING:
    from mlflow import MlflowClient

MAX_ITEMS = {"Metric": ROWS_PER_EVENT, "Param": 100, "RunTag": 100}  # MLflow's limits for one request
MAX_TAG = 8000  # and of a tag's length
MLFLOW_TAGS = {"git_commit": "mlflow.source.git.commit"}  # ours, and those that MLflow's pages look for
DATASET_CONTEXT = "mlflow.data.context"
PARENT_TAG = "mlflow.parentRunId"
REASON_TAG = "reason"
REMOVED_REASON = "its folder was removed"

logger = logging.getLogger(__name__)


class RemoteRun:
    """One run at the tracker, found or created.

    Args:
        store: client and experiment, as `open_store` gives them.
        run: the run as its Tracker described it, and its tracking folder.
        run_id: MLflow's id, if it is known. A store that has lost it gets a new run.
        may_be_there: whether a run whose id is unknown may have been created all the same.
        started_ms: when the run began.
        parent_id: MLflow's id of the run below which a new one is created, if any.

    Attributes:
        run_id: MLflow's id.
        is_new: whether it has just been created.
        num_refused: things that the tracker will never take, since the start.

    Raises:
        UserError: experiment or run have been deleted by hand.
        mlflow.exceptions.MlflowException: the tracker is away; so may all that sends.
    """

    def __init__(
        self,
        store: tuple["MlflowClient", str],
        run: dict[str, Any],
        run_id: str,
        may_be_there: bool,
        started_ms: int,
        parent_id: str,
    ) -> None:
        self._client, self._experiment_id = store
        self._spool = run["spool"]
        self._values: list[list[Any]] = []
        self._parameters: dict[str, str] = {}
        self._tags: dict[str, str] = {}
        self.is_new = False
        self.num_refused = 0
        if run_id and _is_there(self._client, run_id):
            self.run_id = run_id
            return
        known = (
            runs_with_tag(self._client, self._experiment_id, SPOOL_TAG, self._spool) if may_be_there else []
        )
        self.is_new = not known
        if known:
            self.run_id = known[0]
        else:
            self._end_removed(run)
            self.run_id = self._create(run, started_ms, parent_id)

    def _create(self, run: dict[str, Any], started_ms: int, parent_id: str) -> str:
        tags = {
            IDENTITY_TAG: run["identity"],
            SPOOL_TAG: self._spool,
            FOLDER_TAG: run["folder"],
            HOST_TAG: socket.gethostname(),
            "mlflow.user": _user(),
            "mlflow.source.name": "trainyard",
            "mlflow.source.type": "LOCAL",
            **({PARENT_TAG: parent_id} if parent_id else {}),
        }
        created = self._client.create_run(
            self._experiment_id, start_time=started_ms, tags=tags, run_name=run["name"]
        )
        return created.info.run_id

    def _end_removed(self, run: dict[str, Any]) -> None:
        """Ends what was under way in the same folder: one process trains there, and that spool is gone."""
        for run_id in runs_with_tag(self._client, self._experiment_id, IDENTITY_TAG, run["identity"]):
            other = self._client.get_run(run_id)
            place = (other.data.tags.get(FOLDER_TAG), other.data.tags.get(HOST_TAG))
            if other.info.status == "RUNNING" and place == (run["folder"], socket.gethostname()):
                self._client.set_tag(run_id, REASON_TAG, REMOVED_REASON)
                self._client.set_terminated(run_id, "KILLED")

    def begin(self, tags: dict[str, str], status_before: str) -> None:
        """A training session begins: the run is under way, whatever it was before."""
        if status_before not in ("", "RUNNING"):
            self.tag(REASON_TAG, f"resumed after {status_before}")
        if not self.is_new:
            self._client.update_run(self.run_id, status="RUNNING")
        self.is_new = False
        for name, value in tags.items():
            self.tag(name, value)
            if name in MLFLOW_TAGS:
                self.tag(MLFLOW_TAGS[name], value)

    def terminate(self, status: str, reason: str, time_ms: int, may_be_doubled: bool) -> None:
        """The training has ended; sends what waits.

        Args:
            status: MLflow's.
            reason: why, if there is something to say.
            time_ms: when.
            may_be_doubled: whether a request to create the run timed out, which may be carried out later.
        """
        if may_be_doubled:
            for run_id in runs_with_tag(self._client, self._experiment_id, SPOOL_TAG, self._spool):
                if run_id != self.run_id:
                    self._client.delete_run(run_id)
        if reason:
            self.tag(REASON_TAG, reason)
        self.flush()
        self._client.set_terminated(self.run_id, status, end_time=time_ms)

    def values(self, rows: list[list[Any]]) -> None:
        """Takes [name, value, step, time_ms]s along with the next flush."""
        self._values += rows

    def parameters(self, values: dict[str, str]) -> None:
        """Takes parameters along, none of which was sent before with another value."""
        self._parameters |= values

    def tag(self, name: str, value: str) -> None:
        """Takes a tag along, cut to what MLflow takes."""
        self._tags[name] = str(value)[:MAX_TAG]

    def dataset(self, values: dict[str, str]) -> None:
        """Says what the run was trained on; the same once more changes nothing."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        tags = [InputTag(DATASET_CONTEXT, "training")]
        self._client.log_inputs(self.run_id, [DatasetInput(Dataset(**values), tags)])

    def model(self, name: str, step: int, metrics: dict[str, float], tags: dict[str, str]) -> None:
        """Says which weights the run kept, as one of MLflow's logged models; the same once more changes
        nothing.

        Args:
            name: of them within the run.
            step: after which they were kept.
            metrics: what was measured of them.
            tags: what else is known of them.
        """
        from mlflow.entities import LoggedModelOutput

        place = f"name = '{name}' and source_run_id = '{self.run_id}'"
        try:
            known = self._client.search_logged_models([self._experiment_id], filter_string=place)
            model = next(iter(known), None) or self._client.create_logged_model(
                self._experiment_id, name=name, source_run_id=self.run_id, tags=tags
            )
            for key, value in metrics.items():
                if not any((one.key, one.step) == (key, step) for one in model.metrics or ()):
                    self._client.log_metric(self.run_id, key, value, step=step, model_id=model.model_id)
            outputs = self._client.get_run(self.run_id).outputs
            if not any(one.model_id == model.model_id for one in (outputs.model_outputs if outputs else ())):
                self._client.log_outputs(self.run_id, [LoggedModelOutput(model.model_id, step)])
            self._client.finalize_logged_model(model.model_id, "READY")
        except Exception as error:
            if not self._is_refusal(error):
                raise
            self.refuse(f"model {name}", str(error))

    def flush(self) -> None:
        """Sends all that was taken along, in as few requests as MLflow allows."""
        from mlflow.entities import Metric, Param, RunTag

        items: list[Any] = [RunTag(name, value) for name, value in self._tags.items()]
        items += [Param(name, value) for name, value in self._parameters.items()]
        items += [Metric(name, value, time_ms, step) for name, value, step, time_ms in self._values]
        for request in _requests(items):
            self._send(request)
        self._tags, self._parameters, self._values = {}, {}, []

    def _send(self, items: list[Any]) -> None:
        """Sends metrics, parameters and tags at once; should one be refused, the others still arrive."""
        kinds = {kind: [item for item in items if type(item).__name__ == kind] for kind in MAX_ITEMS}
        try:
            self._client.log_batch(self.run_id, kinds["Metric"], kinds["Param"], kinds["RunTag"])
        except Exception as error:
            if not self._is_refusal(error):
                raise
            if len(items) == 1:
                self.refuse(f"{dict(items[0])}", str(error))
                return
            self._send(items[: len(items) // 2])
            self._send(items[len(items) // 2 :])

    def upload(self, file: Path, folder: str) -> None:
        """Uploads a file below `folder` of the run's artefacts."""
        self._client.log_artifact(self.run_id, str(file), folder or None)

    def refuse(self, what: str, why: str) -> None:
        """Notes what will never arrive: to send it again and again would hold up all the rest for ever."""
        self.num_refused += 1
        logger.warning("%s is refused: %s", what, why)

    def _is_refusal(self, error: Exception) -> bool:
        # BAD_REQUEST is no refusal: it is what MLflow calls a broken database.
        refused = getattr(error, "error_code", "") == "INVALID_PARAMETER_VALUE"
        return refused and _is_there(self._client, self.run_id)


def _requests(items: list[Any]) -> Iterator[list[Any]]:
    """Cuts metrics, parameters and tags into what MLflow takes at once."""
    request: list[Any] = []
    num_of: Counter[str] = Counter()
    for item in items:
        kind = type(item).__name__
        if len(request) == ROWS_PER_EVENT or num_of[kind] == MAX_ITEMS[kind]:
            yield request
            request, num_of = [], Counter()
        request.append(item)
        num_of[kind] += 1
    if request:
        yield request


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
