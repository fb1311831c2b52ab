"""cluster/mlflow as a person uses it: a real PostgreSQL, a real server, processes that log at once."""

import base64
import getpass
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modules.tracking.remote_run import PARENT_TAG
from modules.tracking.store import open_store
from modules.tracking.tracker import Tracker
from modules.tracking.tracking_folder import DrainState
from tests.processes import started_by
from tests.training.small import write_small_shards

ROOT = Path(__file__).parents[2]
START = ROOT / "cluster" / "mlflow" / "start.sh"
DATABASE_PASSWORD, ADMIN_PASSWORD = "a pass:word", "admin's password %41"


def binaries() -> Path | None:
    """Where PostgreSQL's programs lie; Debian keeps them out of PATH."""
    places = [
        *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True),
        *map(Path, os.get_exec_path()),
    ]
    wanted = ("initdb", "postgres", "pg_isready", "createdb")
    return next((place for place in places if all((place / name).exists() for name in wanted)), None)


pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(binaries() is None, reason="PostgreSQL is not installed: apt-get install postgresql"),
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class PostgreSQL:
    """A database server of its own, on loopback, that asks for a password."""

    def __init__(self) -> None:
        found = binaries()
        assert found is not None
        # PostgreSQL refuses to run as root; pytest's folders are closed to all others.
        self._user = "postgres" if os.geteuid() == 0 else getpass.getuser()
        self._binaries = found
        self.folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        shutil.chown(self.folder, self._user)
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        password = self.folder / "password"
        password.write_text(DATABASE_PASSWORD)
        shutil.chown(password, self._user)
        command = [
            "initdb",
            "--username=mlflow",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            f"--pwfile={password}",
            "--no-sync",
        ]
        self._run(*command, f"--pgdata={self.folder / 'data'}").check_returncode()
        self.start()
        self._run("createdb", "mlflow", *self.place).check_returncode()

    @property
    def place(self) -> list[str]:
        return ["--host=127.0.0.1", f"--port={self.port}", "--username=mlflow"]

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [self._binaries / program, *arguments],
            user=self._user,
            cwd=self.folder,
            env={"PGPASSWORD": DATABASE_PASSWORD, "LC_ALL": "C"},
            stdout=subprocess.DEVNULL,
        )

    def start(self) -> None:
        options = ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={self.folder}"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._binaries / "postgres", "-D", self.folder / "data", "-p", str(self.port), *options],
                user=self._user,
                cwd=self.folder,
                stderr=log,
                env={"LC_ALL": "C"},
            )
        deadline = time.monotonic() + 60
        while self._run("pg_isready", *self.place).returncode:
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.1)

    def crash(self) -> None:
        """Ends it as a crash would: every connection breaks, and the log is replayed at the next start."""
        assert self._process is not None
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(30)

    def remove(self) -> None:
        self.crash()
        shutil.rmtree(self.folder)


class Server:
    """What start.sh starts."""

    def __init__(self, folder: Path, postgres: PostgreSQL, **environment: str) -> None:
        self._log = folder / "server.log"
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        passwords = folder / "pgpass"
        escaped = DATABASE_PASSWORD.replace(":", r"\:")
        passwords.write_text(f"127.0.0.1:{postgres.port}:mlflow:mlflow:{escaped}\n")
        passwords.chmod(0o600)
        self.artifacts = folder / "artifacts"
        settings = {
            "PGPORT": str(postgres.port),
            "PGPASSFILE": str(passwords),
            "MLFLOW_ARTIFACTS_DESTINATION": str(self.artifacts),
            "MLFLOW_PORT": str(self.port),
            "MLFLOW_WORKERS": "2",
            **environment,
        }
        self._settings = folder / "mlflow.env"
        lines = (START.parent / "mlflow.env").read_text().splitlines()
        kept = [line for line in lines if line.split("=")[0] not in settings]
        quoted = [name + "='" + value.replace("'", "'\\''") + "'" for name, value in settings.items()]
        self._settings.write_text("\n".join([*kept, *quoted]) + "\n")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # the python3 that has mlflow
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                ["sh", START, self._settings],
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={"PATH": path, "HOME": os.environ["HOME"]},
            )
        deadline = time.monotonic() + 150
        while self.status("/health") != 200:
            assert time.monotonic() < deadline and self._process.poll() is None, self._log.read_text()
            time.sleep(0.1)

    def kill(self) -> None:
        """The process that was started, by which its workers end as well."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        self._process = None
        deadline = time.monotonic() + 30
        while self.status("/health") is not None:
            assert time.monotonic() < deadline, "a worker goes on"
            time.sleep(0.1)

    def status(self, path: str, **headers: str) -> int | None:
        """The status of its answer; None if it does not answer."""
        try:
            with urllib.request.urlopen(
                urllib.request.Request(self.uri + path, headers=headers), timeout=30
            ) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        except OSError:
            return None

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "uri": self.uri,
            "artifact_root": None,
            "experiment": "trainyard",
            "system_metrics_every_s": 0.0,
            "drain_timeout_s": 120.0,
        }


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgreSQL]:
    postgres = PostgreSQL()
    yield postgres
    postgres.remove()


@pytest.fixture(scope="module")
def server(postgres: PostgreSQL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"), postgres)
    server.start()
    yield server
    server.kill()


def curve(stop: int) -> list[tuple[int, float]]:
    return [(step, 1 / (step + 1)) for step in range(stop)]


def recorded(client: Any, identity: str) -> tuple[Any, list[tuple[int, float]]]:
    """The only run with an identity, and its learning curve."""
    experiment = client.get_experiment_by_name("trainyard")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id], filter_string=f"tags.identity = '{identity}'")
    name = "training/loss" if "training/loss" in run.data.metrics else "loss"
    return run, [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, name)]


def like(program: str, *arguments: str) -> subprocess.Popen[str]:
    """Starts one of the tracking tests' programs."""
    command = [sys.executable, "-W", "error", str(ROOT / "tests" / "tracking" / program), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)


def test_nodes_log_at_once_while_server_and_database_fall_over(
    tmp_path: Path, server: Server, postgres: PostgreSQL
):
    """Four nodes, each with a drainer of its own: nothing is lost, nothing doubled."""
    num_nodes, num_steps = 4, 3000
    folders = [tmp_path / f"node{number}" / "tracking" for number in range(num_nodes)]
    nodes = [
        like("train_like.py", str(folder), repr(server.settings), "0", str(num_steps), "0.005", "finish")
        for folder in folders
    ]
    try:
        deadline = time.monotonic() + 90
        while not all((state := DrainState.load(folder)) and state.latest for folder in folders):
            assert time.monotonic() < deadline, "nothing arrived"
            time.sleep(0.05)
        server.kill()
        time.sleep(1)
        server.start()
        postgres.crash()
        time.sleep(1)
        postgres.start()
        for node in nodes:
            assert "True" in node.communicate(timeout=240)[0]
    finally:
        for node in nodes:
            node.kill()
            node.communicate()
    client, experiment_id = open_store(server.settings)
    for folder in folders:
        run, values = recorded(client, str(folder).replace("/", "_"))
        assert run.info.status == "FINISHED"
        assert values == curve(num_steps)
        assert run.info.artifact_uri.startswith("mlflow-artifacts:")
        (plan,) = server.artifacts.glob(f"{experiment_id}/{run.info.run_id}/artifacts/plan.yaml")
        assert plan.read_text() == "seed: 0\n"


def test_a_sweep_and_its_trials(tmp_path: Path, server: Server):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "release").touch()
    sweep = like(
        "sweep_like.py",
        str(tmp_path / "sweep"),
        str(tmp_path / "runs"),
        repr(server.settings),
        "4",
        "20",
        "0.0",
    )
    assert "delivered True" in sweep.communicate(timeout=200)[0]
    client, _ = open_store(server.settings)
    experiment = client.get_experiment_by_name("trainyard")
    assert experiment is not None
    (parent,) = client.search_runs([experiment.experiment_id], filter_string="tags.identity = 'sweep'")
    for number in range(4):
        run, values = recorded(client, f"trial{number}")
        assert run.data.tags[PARENT_TAG] == parent.info.run_id
        assert (run.info.status, values) == ("FINISHED", curve(20))


def test_a_training_from_the_command_line(tmp_path: Path, server: Server):
    write_small_shards(tmp_path / "data" / "shards" / "fashion_mnist")
    overrides = ["recipe=neuron", "data=fashion_mnist", "data.samples_per_record=50", "trainer.max_epochs=1"]
    overrides += ["runtime.num_threads=1", "tracking=server", f"tracking.uri={server.uri}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    trained = subprocess.run(
        [sys.executable, "-m", "pipelines.train", *overrides],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert trained.returncode == 0, trained.stderr
    (folder,) = (tmp_path / "runs").iterdir()
    summary = json.loads((folder / "summary.json").read_text())
    client, _ = open_store(server.settings)
    experiment = client.get_experiment_by_name("trainyard")
    assert experiment is not None
    (run,) = client.search_runs(
        [experiment.experiment_id], filter_string=f"tags.identity = '{summary['identity']}'"
    )
    assert (run.info.status, run.info.run_name) == ("FINISHED", "neuron")
    history = json.loads((folder / "history.json").read_text())
    assert run.data.metrics["validation/accuracy"] == history["validation/accuracy"][-1][1]


def test_other_names_than_its_own_are_not_answered(server: Server):
    """A page of another site that resolves its name to this server (DNS rebinding) gets nothing."""
    assert server.status("/api/2.0/mlflow/experiments/search?max_results=1") == 200
    assert server.status("/api/2.0/mlflow/experiments/search?max_results=1", Host="evil.example") == 403


@pytest.mark.parametrize(
    ("lacking", "named"),
    [
        ("MLFLOW_AUTH_ADMIN_PASSWORD", "Set MLFLOW_AUTH_ADMIN_USERNAME and MLFLOW_AUTH_ADMIN_PASSWORD"),
        ("MLFLOW_FLASK_SERVER_SECRET_KEY", "MLFLOW_FLASK_SERVER_SECRET_KEY is not set"),
        ("MLFLOW_BACKEND_STORE_URI", "MLFLOW_BACKEND_STORE_URI is not set"),
        ("MLFLOW_ARTIFACTS_DESTINATION", "MLFLOW_ARTIFACTS_DESTINATION is not set"),
    ],
)
def test_nothing_opens_without_what_it_needs(lacking: str, named: str):
    environment = {
        "PATH": os.environ["PATH"],
        "MLFLOW_HOST": "0.0.0.0",
        "MLFLOW_AUTH_ADMIN_USERNAME": "admin",
        "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN_PASSWORD,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "secret",
        "MLFLOW_BACKEND_STORE_URI": "postgresql+psycopg://",
        "MLFLOW_ARTIFACTS_DESTINATION": "artifacts",
    }
    del environment[lacking]
    answer = subprocess.run(["sh", START], env=environment, capture_output=True, text=True, timeout=30)
    assert answer.returncode == 2
    assert answer.stderr.startswith("error: ") and named in answer.stderr
    assert answer.stderr.count("\n") == 1


def test_beyond_loopback_a_password_is_wanted(
    tmp_path: Path, postgres: PostgreSQL, monkeypatch: pytest.MonkeyPatch
):
    server = Server(
        tmp_path,
        postgres,
        MLFLOW_HOST="0.0.0.0",
        MLFLOW_AUTH_ADMIN_USERNAME="admin",
        MLFLOW_AUTH_ADMIN_PASSWORD=ADMIN_PASSWORD,
        MLFLOW_FLASK_SERVER_SECRET_KEY="secret",
    )
    path = "/api/2.0/mlflow/experiments/search?max_results=1"
    server.start()
    try:
        assert server.status(path) == 401
        assert server.status(path, **credentials("admin", "not the password")) == 401
        assert server.status(path, **credentials("admin", ADMIN_PASSWORD)) == 200
        run = {"name": "guarded", "identity": "guarded", "tags": {}}
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "not the password")
        folder = tmp_path / "runs" / "guarded" / "tracking"
        tracker = Tracker(folder, {**server.settings, "drain_timeout_s": 1.0}, run)
        tracker.metric("loss", 1.0, 0)
        assert not tracker.finish(wait_s=20)
        state = DrainState.load(folder)
        assert state is not None and "not authenticated" in state.error.lower(), state
        for process in started_by(os.getpid(), str(folder)):  # the drainer, maybe its successor
            process.kill()
            process.wait(10)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", ADMIN_PASSWORD)
        drained = subprocess.run(
            [sys.executable, "-m", "pipelines.track", "drain", f"runs={tmp_path / 'runs'}"],
            cwd=ROOT,
            timeout=120,
        )
        assert drained.returncode == 0
        run, values = recorded(open_store(server.settings)[0], "guarded")
        assert (run.info.status, values) == ("FINISHED", [(0, 1.0)])
    finally:
        server.kill()


def credentials(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}
