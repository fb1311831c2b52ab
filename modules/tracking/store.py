"""The tracker itself: MLflow's store of runs, an SQLite file by default or a server."""

import errno
import json
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from filelock import FileLock

from modules.configuration.errors import UserError

if TYPE_CHECKING:
    from mlflow import MlflowClient

SQLITE = "sqlite:///"
IDENTITY_TAG = "identity"
SPOOL_TAG = "spool"
FOLDER_TAG, HOST_TAG = "tracking_folder", "host"
VIEW = "trainyard"
COLUMNS = [
    "attributes.`Dataset`",
    "metrics.`test/accuracy`",
    "metrics.`validation/accuracy`",
    "metrics.`validation/loss`",
    "metrics.`train/loss`",
    "params.`optimizer.lr`",
    "params.`seed`",
]
"""Of MLflow's table of runs; system metrics are a click away."""
PAGES = {
    "mlflow.experimentKind": "custom_model_development",  # MLflow's pages for training, not for chats
    "mlflow.experiment.primaryMetric.name": "validation/accuracy",
    "mlflow.experiment.primaryMetric.greaterIsBetter": "True",
    f"mlflow.sharedViewState.{VIEW}": json.dumps({"selectedColumns": COLUMNS}),
}
"""Tags of an experiment that say how MLflow shows it."""


def absolute_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """The tracking settings with paths made absolute from the present working directory.

    Raises:
        UserError: the store is one that would double what is sent twice, or the URI carries a password.
    """
    uri, artifact_root = settings["uri"], settings["artifact_root"]
    if uri is None:
        return dict(settings)
    parts = urlsplit(uri)
    if parts.password:
        raise UserError(
            "tracking.uri holds a password, which would be written down with every run",
            "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD instead.",
        )
    if parts.scheme in ("", "file"):
        raise UserError(
            f"tracking.uri={uri} is a folder, which MLflow keeps without transactions",
            "Use an SQLite file (sqlite:///mlflow.db), a server (http://...) or null for no tracker.",
        )
    if uri.startswith(SQLITE):
        _, question, options = uri.partition("?")
        uri = SQLITE + quoted(str(database_file(uri).absolute())) + question + options
    if artifact_root is not None and "://" not in artifact_root:
        artifact_root = str(Path(artifact_root).absolute())
        if quoted(artifact_root) != artifact_root:
            artifact_root = Path(artifact_root).as_uri()
    return {**settings, "uri": uri, "artifact_root": artifact_root}


def is_there(settings: dict[str, Any]) -> bool:
    """Whether a tracker may be asked: no SQLite file that is missing."""
    uri = absolute_settings(settings)["uri"]
    return uri is None or not uri.startswith(SQLITE) or database_file(uri).is_file()


def database_file(uri: str) -> Path:
    """The file of an SQLite URI."""
    return Path(unquote(uri.removeprefix(SQLITE).partition("?")[0]))


def quoted(path: str) -> str:
    """A path as a URI holds it, which would otherwise end at a `?` and lead elsewhere at a `%`; no more is
    quoted, so that a store keeps the URI that it always had."""
    return path.replace("%", "%25").replace("?", "%3F").replace("#", "%23")


def page_of(pages: str, experiment_id: str) -> str:
    """The address of an experiment's runs, with the columns of `PAGES`.

    Args:
        pages: address of MLflow's server.
        experiment_id: of an experiment that `open_store` has made.
    """
    return (
        f"{pages}/#/experiments/{experiment_id}/runs?workflowType=machine_learning&viewStateShareKey={VIEW}"
    )


def limit_patience() -> None:
    """Keeps MLflow's client from waiting for minutes, and quiet; to be called before mlflow is imported."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT", "60")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("PGCONNECT_TIMEOUT", "5")
    # What a fresh database says of its tables, line by line, is of use to nobody.
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    logging.getLogger("alembic").setLevel(logging.WARNING)


def open_store(settings: dict[str, Any]) -> tuple["MlflowClient", str]:
    """Connects to the tracker, creating database and experiment if they are not there yet.

    Args:
        settings: the tracking settings, paths absolute.

    Returns:
        The client, and the experiment's id.

    Raises:
        UserError: the experiment has been deleted.
        mlflow.exceptions.MlflowException: the tracker does not answer.
    """
    uri = settings["uri"]
    if not uri.startswith(SQLITE):
        return _open(settings)
    database = database_file(uri)
    database.parent.mkdir(parents=True, exist_ok=True)
    # Of several processes that meet a fresh database, all but one would fail while its tables are made.
    with _setting_up(database):
        opened = _open(settings)
    read_otherwise = Path(uri.removeprefix(SQLITE).partition("?")[0])
    if read_otherwise != database:  # MLflow makes the folder of this name as well, and leaves it empty
        with suppress(OSError):
            os.removedirs(read_otherwise.parent)
    return opened


@contextmanager
def _setting_up(database: Path) -> Iterator[None]:
    """Keeps others from setting up the same database meanwhile; who may only read it sets up nothing."""
    lock = FileLock(f"{database}.lock")
    try:
        lock.acquire()
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EROFS) or not database.is_file():
            raise
    try:
        yield
    finally:
        lock.release()


def _open(settings: dict[str, Any]) -> tuple["MlflowClient", str]:
    limit_patience()
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    if not settings["uri"].startswith("http"):
        from mlflow.store.db import utils

        utils.MAX_RETRY_COUNT = 2  # ten are two minutes for a database that does not answer
    client = MlflowClient(tracking_uri=settings["uri"], registry_uri=settings["uri"])
    name = settings["experiment"]
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        root = settings["artifact_root"]
        location = None if root is None else f"{root.rstrip('/')}/{re.sub(r'[^A-Za-z0-9._-]', '_', name)}"
        try:
            return client, client.create_experiment(name, artifact_location=location, tags=PAGES)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            experiment = client.get_experiment_by_name(name)
    if experiment is None or experiment.lifecycle_stage != "active":
        raise UserError(
            f"the experiment {name} has been deleted in MLflow",
            "Restore it with `mlflow experiments restore`, or set tracking.experiment to another name.",
        )
    return client, experiment.experiment_id


@contextmanager
def as_default_tracker(uri: str) -> Iterator[None]:
    """Meanwhile this is the tracker of MLflow's environment: a client looks there for the model behind a new
    version, whatever tracker it was made for."""
    before = {name: os.environ.get(name) for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")}
    os.environ.update(dict.fromkeys(before, uri))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class Stores:
    """Connections that are kept: each one that is opened asks the tracker for its experiment."""

    def __init__(self) -> None:
        self._opened: dict[tuple[str, str], tuple[MlflowClient, str]] = {}

    def open(self, settings: dict[str, Any]) -> tuple["MlflowClient", str]:
        """As `open_store`, once for each tracker and experiment."""
        place = settings["uri"], settings["experiment"]
        if place not in self._opened:
            self._opened[place] = open_store(settings)
        return self._opened[place]

    def forget(self) -> None:
        """Something is wrong: look again."""
        self._opened.clear()


def find_run(client: "MlflowClient", experiment_id: str, identity: str) -> str | None:
    """MLflow's id of the newest run with this identity; None if the tracker has none."""
    return next(iter(runs_with_tag(client, experiment_id, IDENTITY_TAG, identity)[::-1]), None)


def runs_with_tag(client: "MlflowClient", experiment_id: str, tag: str, value: str) -> list[str]:
    """Ids of the experiment's runs whose tag has this value, oldest first."""
    found = client.search_runs(
        [experiment_id], filter_string=f"tags.`{tag}` = '{value}'", order_by=["attributes.start_time ASC"]
    )
    return [run.info.run_id for run in found]
