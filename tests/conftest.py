"""What every test shares: shapes and types of bricks and models are checked at run time, threads are few.

What `make test-fast` leaves out is marked here, by fixture and folder, or in the test module itself: `ray`
starts Ray, `server` a daemon, `slow` whole commands and trainings. These files come first in a whole run:
begun last, a long one would keep one worker busy while the other has nothing left.
"""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

# Tests start many processes: what one has compiled, the next one finds.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# Ray's workers would wait for whatever else runs here, and the tests for them.
os.environ.setdefault("RAY_worker_niceness", "0")

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

from tests.object_server import KEYS, ObjectServer, Proxy

sys.dont_write_bytecode = False

# A loaded machine makes no test wrong.
settings.register_profile("patient", deadline=None)
settings.register_profile("fast", deadline=None, max_examples=20)
settings.load_profile("patient")

# Begun in the background of a shell, tests and what they start would not hear ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

install_import_hook(["modules.bricks", "modules.models"], "beartype.beartype")


@pytest.fixture(scope="session")
def object_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    """A running S3 server."""
    server = ObjectServer(tmp_path_factory.mktemp("objects"))
    try:
        server.wait()
        yield server
    finally:
        server.kill()


@pytest.fixture
def proxy(object_server: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """What this process and those it starts take for the S3 server."""
    proxy = Proxy(object_server.port)
    for name, value in zip(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), KEYS, strict=True):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    yield proxy
    proxy.close()


TESTS = Path(__file__).parent
MARKS_OF_FIXTURES = {
    "cluster": "ray",
    "server": "server",
    "postgres": "server",
    "slurm": "server",
    "object_server": "server",
}
# The last holds what concerns the whole yard.
SLOW_FOLDERS = {
    "evaluation",
    "hydra_plugins",
    "pipelines",
    "sweeps/workers",
    "tracking",
    "training",
    "weights",
    ".",
}
"""Of whole commands, real trainings and real MLflow, one after another."""


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what is not fast, and puts the slowest files first."""
    ranks: dict[Path, int] = {}
    for item in items:
        for mark in _marks(item):
            item.add_marker(mark)
        rank = sum(item.get_closest_marker(mark) is not None for mark in ("ray", "server", "slow"))
        ranks[item.path] = max(rank, ranks.get(item.path, 0))
    items.sort(key=lambda item: -ranks[item.path])


def _marks(item: pytest.Item) -> set[str]:
    fixtures = getattr(item, "fixturenames", ())
    marks = {mark for fixture, mark in MARKS_OF_FIXTURES.items() if fixture in fixtures}
    folders = [folder.as_posix() for folder in item.path.relative_to(TESTS).parents]
    if folders[0] == "." or SLOW_FOLDERS & set(folders[:-1]):
        marks.add("slow")
    return marks
