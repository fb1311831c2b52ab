"""`connect` where this machine starts a Ray of its own, in processes of their own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import environment

pytestmark = pytest.mark.ray
CONNECT = """
import json, sys
if "early" in sys.argv: import ray
import psutil
from modules.cluster.connection import connect
from modules.configuration.command import one_line
from modules.configuration.errors import UserError
from modules.configuration.schema.settings import RuntimeSettings
from tests.cluster.ports import METRICS, answer_without_token
address, num_workers, gpus = json.loads(sys.argv[1])
try:
    connect(RuntimeSettings("ray", "cpu", 1, 0, address, num_workers, 1, gpus, 0, ".", "check"))
except UserError as error:
    sys.exit(one_line(error))
import ray
connect(RuntimeSettings("ray", "cpu", 1, 0, address, num_workers, 1, gpus, 0, ".", "check"))
pid = ray.get(ray.remote(lambda: __import__("os").getpid()).remote())
family = [psutil.Process(), *psutil.Process().children(recursive=True)]
listening = {c.laddr for p in family for c in p.net_connections("tcp") if c.status == psutil.CONN_LISTEN}
ports = {address.port for address in listening} - set(METRICS)
answers = {answer_without_token(f"127.0.0.1:{port}") for port in ports}
addresses = sorted({address.ip.removeprefix("::ffff:") for address in listening})
print(json.dumps([addresses, sorted(answers), ray.cluster_resources()["CPU"]]))
"""


def connect(
    address: str | None, num_workers: int = 1, gpus: int = 0, *more: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", CONNECT, json.dumps([address, num_workers, gpus]), *more],
        env={**environment(), **variables},
        capture_output=True,
        text=True,
        timeout=200,
    )


@pytest.mark.parametrize("more", [[], ["early"]])
def test_a_ray_of_its_own_keeps_to_loopback_wants_the_token_and_says_nothing(
    more: list[str], tmp_path: Path
) -> None:
    done = connect(None, 5, 0, *more, HOME=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    addresses, answers, num_cpus = json.loads(done.stdout)
    assert addresses == ["127.0.0.1"]
    assert answers == ["401", "UNAUTHENTICATED"]
    assert num_cpus >= 5  # more workers than cores are slower, not impossible
    assert (tmp_path / ".ray" / "auth_token").stat().st_mode & 0o777 == 0o600


def test_gpus_that_are_not_there_are_refused_before_ray_starts() -> None:
    done = connect(None, 64, 1, CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 1
    assert done.stderr.startswith("error: runtime: 64 workers want 64 GPUs, this machine has 0.")


@pytest.mark.parametrize("address", ["somewhere", "ray://127.0.0.1:10001", "127.0.0.1:1"])
def test_an_address_without_a_cluster_is_one_line(address: str) -> None:
    done = connect(address)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1 and address in done.stderr
