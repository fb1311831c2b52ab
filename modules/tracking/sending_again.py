"""Brings runs that have ended to a tracker that has lost them, or that they were not recorded for.

A run's spool holds the whole story, so any tracker can be told it. Whether a tracker has a run is asked
without MLflow's client, whose import takes seconds.
"""

import base64
import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

from filelock import Timeout

from modules.configuration.refused_access import access_error
from modules.tracking.spool import EVENTS, read_followed
from modules.tracking.store import SQLITE, absolute_settings, database_file
from modules.tracking.tracking_folder import (
    RUN,
    DrainState,
    drainer_lock,
    is_held,
    read_run,
    write_json,
    writer_lock,
)

_ANSWER_WAIT_S = 3.0


def has_run(settings: dict[str, Any], run_id: str) -> bool | None:
    """Whether a tracker has a run, be it in its trash; None where it does not say.

    Args:
        settings: the tracking settings, paths absolute.
        run_id: MLflow's id.
    """
    return _has(
        settings["uri"],
        "SELECT 1 FROM runs WHERE run_uuid = ?",
        (run_id,),
        "runs/get?" + urlencode({"run_id": run_id}),
    )


def has_version(settings: dict[str, Any], name: str, number: int, run_id: str) -> bool | None:
    """Whether a tracker's registry has a version that comes from a run; None where it does not say.

    Args:
        settings: the tracking settings, paths absolute.
        name: of the registered model.
        number: of the version.
        run_id: MLflow's id of the run that trained it.
    """
    return _has(
        settings["uri"],
        "SELECT 1 FROM model_versions WHERE name = ? AND version = ? AND run_id = ?",
        (name, number, run_id),
        "model-versions/get?" + urlencode({"name": name, "version": number}),
    )


def _has(uri: str, query: str, values: tuple[Any, ...], path: str) -> bool | None:
    if uri.startswith(SQLITE):
        database = database_file(uri)
        if not database.is_file():
            return False
        try:
            with closing(sqlite3.connect(f"file:{quote(str(database))}?mode=ro", uri=True)) as connection:
                return connection.execute(query, values).fetchone() is not None
        except sqlite3.Error as error:
            return False if "no such table" in str(error) else None
    if not uri.startswith("http"):
        return None
    request = Request(f"{uri.rstrip('/')}/api/2.0/mlflow/{path}", headers=_authorisation())
    try:
        with urlopen(request, timeout=_ANSWER_WAIT_S):
            return True
    except HTTPError as error:
        with error:
            return False if error.code == 404 and b"RESOURCE_DOES_NOT_EXIST" in error.read() else None
    except (URLError, OSError, ValueError):
        return None


def _authorisation() -> dict[str, str]:
    user, password = (os.environ.get(f"MLFLOW_TRACKING_{name}") for name in ("USERNAME", "PASSWORD"))
    if user is not None and password is not None:
        return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    return {} if token is None else {"Authorization": f"Bearer {token}"}


def lacks(folder: Path, settings: dict[str, Any]) -> bool:
    """Whether a tracker lacks a run that has ended: it never got it, or has lost it.

    Args:
        folder: the run's tracking folder.
        settings: the tracking settings, paths absolute.
    """
    if settings["uri"] is None or read_run(folder) is None or is_held(writer_lock(folder)):
        return False
    state = DrainState.load(folder)
    if state is None or (state.uri, state.experiment) != (settings["uri"], settings["experiment"]):
        return True
    return not state.holds_all(_size(folder)) or has_run(settings, state.run_id) is False


def _size(folder: Path) -> int:
    spool = folder / EVENTS
    return spool.stat().st_size if spool.is_file() else 0


def send_again(folder: Path, settings: dict[str, Any]) -> str:
    """Tells a tracker all of a run that has ended, and of those that it follows.

    Args:
        folder: the run's tracking folder.
        settings: the tracking settings, paths absolute.

    Returns:
        Why something is left; empty if nothing is.

    Raises:
        Timeout: a process of its own is sending.
    """
    from modules.tracking.drainer import drain

    with drainer_lock(folder).acquire(timeout=0):
        for one in (folder, *(path for path, *_ in read_followed(folder.absolute()))):
            _start_over(one, settings)
        return drain(folder, patience_s=0)


def _start_over(folder: Path, settings: dict[str, Any]) -> None:
    description = read_run(folder)
    if description is None or not lacks(folder, settings):
        return
    write_json(folder / RUN, {**description, "settings": settings})
    state = DrainState.load(folder)
    if state is not None and has_run(settings, state.run_id) is False:
        # What it acknowledged is gone with it.
        DrainState(settings["uri"], settings["experiment"]).save(folder)


def bring_to(folder: Path, tracking: dict[str, Any], name: str) -> None:
    """Sends a run that has ended to the tracker of a configuration, should it lack it, and says so.

    Args:
        folder: the run's tracking folder.
        tracking: the section `tracking` of the configuration.
        name: of the run, for what is said.
    """
    settings = absolute_settings(tracking)
    if not lacks(folder, settings):
        return
    with suppress(Timeout):
        try:
            why = send_again(folder, settings)
        except OSError as error:  # who only reads the run is not asked to send it
            refusal = access_error(error)
            if refusal is None:
                raise
            why = refusal.problem
        print(f"{name}: not sent, {why}" if why else f"{name}: sent to {tracking['uri']}", flush=True)
