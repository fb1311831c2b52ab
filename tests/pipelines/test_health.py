"""`python -m pipelines.health`: one line a check, and an exit status."""

import json
import os
import socket
from pathlib import Path

import pytest

from tests.commands import run

NODE = os.environ.get("NODE_NAME") or os.environ.get("SLURMD_NODENAME") or socket.gethostname()


def test_a_node_that_is_well_and_one_that_is_not(tmp_path: Path) -> None:
    together = tmp_path / "together"
    together.mkdir()
    (together / "other.json").write_text(json.dumps({"node": "other", "flops": 1e18}))
    given = ["min_free_gb=0.001", "min_memory_gb=0.001", f"together={together}", "num_nodes=2"]
    status, out, err = run("pipelines.health", *given, folder=tmp_path)
    lines = out.splitlines()
    assert all(line.startswith(f"{NODE}: ") for line in lines) and len(lines) >= 8
    failed = [line for line in lines if ": FAILED: " in line]
    assert len(failed) == 1 and "speed beside other nodes" in failed[0]
    assert status == 1
    assert err.strip().endswith(f"{NODE} failed 1 of {len(lines)} checks: speed beside other nodes")

    status, out, err = run("pipelines.health", *given[:2], folder=tmp_path)
    assert (status, err) == (0, "") and "FAILED" not in out


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("num_nodes=0", "num_nodes=0 is no limit. Give a number from 1 on"),
        ("min_free_gb=nan", "min_free_gb=nan is no limit"),
        ("max_clock_s=-1", "max_clock_s=-1.0 is no limit"),
        ("min_ratio=2", "min_ratio=2 no node could reach"),
        ("num_nodes=2", "num_nodes without a folder to compare in"),
        ("min_gflop=2", "Did you mean min_gflops?"),
    ],
)
def test_limits_that_are_none_are_refused(tmp_path: Path, given: str, told: str) -> None:
    status, out, err = run("pipelines.health", given, folder=tmp_path)
    assert (status, out) == (2, "") and told in err and len(err.strip().splitlines()) == 1
