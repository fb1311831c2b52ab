"""A Ray of a process's own: nothing of it outlives that process, however it ended."""

import subprocess
import sys
import time

import pytest

from modules.cluster.own_ray import _processes_of  # pyright: ignore[reportPrivateUsage]
from modules.configuration.static_analysis.definitions import ROOT

DRIVER = """
import os, signal
import ray
from modules.cluster.connection import connect
from modules.cluster.own_ray import RayDied, check_parts
from modules.configuration.schema.execution_settings import RuntimeSettings

connect(RuntimeSettings("ray", "cpu", 1, 0, None, 1, 1, 0, 0, ".", "check"), num_cpus=1)
node = ray._private.worker._global_node
check_parts()
gcs = node.all_processes["gcs_server"][0].process
gcs.kill()
gcs.wait()
try:
    check_parts()
except RayDied as death:
    print(node.get_session_dir_path(), death, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.ray
def test_what_a_killed_driver_leaves_is_ended() -> None:
    done = subprocess.run([sys.executable, "-c", DRIVER], cwd=ROOT, capture_output=True, text=True)
    session, _, death = done.stdout.strip().partition(" ")
    assert (done.returncode, death) == (-9, "Ray's gcs_server died (SIGKILL)"), done.stderr
    deadline = time.monotonic() + 30
    while left := _processes_of(session):
        assert time.monotonic() < deadline, left
        time.sleep(0.2)
