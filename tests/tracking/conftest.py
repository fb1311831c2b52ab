"""A real tracker for the tests: MLflow on SQLite files, and a server that can be killed and frozen."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from modules.tracking.store import limit_patience, open_store

Settings = dict[str, Any]


def settings_for(uri: str | None, artifact_root: Path | None = None) -> Settings:
    return {
        "uri": uri,
        "artifact_root": None if artifact_root is None else str(artifact_root),
        "experiment": "trainyard",
        "system_metrics_every_s": 0.0,
        "drain_timeout_s": 60.0,
    }


@pytest.fixture(scope="session")
def fresh_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with its tables made, to be copied: making them takes MLflow seconds."""
    limit_patience()
    from mlflow import MlflowClient

    database = tmp_path_factory.mktemp("database") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{database}").search_experiments()
    return database


@pytest.fixture
def sqlite(tmp_path: Path, fresh_database: Path) -> Settings:
    """Settings of an SQLite tracker of this test's own."""
    shutil.copyfile(fresh_database, tmp_path / "mlflow.db")
    return settings_for(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path / "mlartifacts")


class Server:
    """A real MLflow server on loopback."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def settings(self) -> Settings:
        return settings_for(f"http://127.0.0.1:{self._port}")

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self._port)]
        command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{self._folder / 'mlflow.db'}"]
        command += ["--artifacts-destination", str(self._folder / "artifacts")]
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            )
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/health", timeout=1):
                    return
            except OSError:
                time.sleep(0.1)
        raise TimeoutError((self._folder / "server.log").read_text())

    def signal(self, number: signal.Signals) -> None:
        """Signals the server and its workers."""
        assert self._process is not None
        os.killpg(self._process.pid, number)

    def kill(self) -> None:
        if self._process is not None:
            self.signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, fresh_database: Path) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    shutil.copyfile(fresh_database, folder / "mlflow.db")
    server = Server(folder)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def recorded() -> Callable[..., Any]:
    """What a tracker holds of the only run with an identity."""

    def look(settings: Settings, identity: str) -> Any:
        client, experiment_id = open_store(settings)
        runs = client.search_runs([experiment_id], filter_string=f"tags.identity = '{identity}'")
        assert len(runs) == 1, f"{len(runs)} runs"
        run: Any = runs[0]
        run.curves = {
            name: [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, name)]
            for name in run.data.metrics
        }
        run.files = sorted(_files(client, run.info.run_id, None))
        return run

    return look


def _files(client: Any, run_id: str, folder: str | None) -> Iterator[str]:
    for item in client.list_artifacts(run_id, folder):
        if item.is_dir:
            yield from _files(client, run_id, item.path)
        else:
            yield item.path


@pytest.fixture
def trainer(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a training process that records steps first..last of one metric, then ends as told."""
    started: list[subprocess.Popen[str]] = []

    def start(folder: Path, settings: Settings, steps: range, pause_s: float, end: str) -> Any:
        arguments = [str(folder), repr(settings), str(steps.start), str(steps.stop), str(pause_s), end]
        process = subprocess.Popen(
            [sys.executable, "-W", "error", str(Path(__file__).with_name("train_like.py")), *arguments],
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
