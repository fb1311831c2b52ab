"""A sweep on a cluster whose nodes die and come."""

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster
from rich.console import Console

from modules.cluster.connection import connect
from modules.sweeps.control.controller import run_sweep
from modules.sweeps.control.ledger import read_events
from tests.ray_clusters import MEMORY, ray_cluster
from tests.sweeps.control.test_restart import wait_for
from tests.sweeps.small_sweep import TRIAL, make_sweep


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    with ray_cluster(monkeypatch, num_cpus=0) as cluster:
        yield cluster


def test_a_node_that_dies_costs_no_trial_and_one_that_comes_is_used(cluster: Cluster, tmp_path: Path) -> None:
    dying = cluster.add_node(num_cpus=2, object_store_memory=MEMORY)
    sweep = make_sweep(tmp_path, [{"x": str(x), "seconds": "2.0"} for x in range(6)], max_retries=0)
    sweep = replace(sweep, runtime=replace(sweep.runtime, address=cluster.address))
    connect(sweep.runtime)
    ledger = sweep.folder / "ledger.jsonl"

    output = io.StringIO()
    with ThreadPoolExecutor() as other:
        running = other.submit(run_sweep, sweep, Console(file=output, width=200), TRIAL)
        wait_for(lambda: sum(event["event"] == "report" for event in read_events(ledger)) >= 3)
        cluster.remove_node(dying, allow_graceful=False)
        wait_for(lambda: "no node has room for a trial" in output.getvalue())
        cluster.add_node(num_cpus=2, object_store_memory=MEMORY)
        result = running.result()

    events = read_events(ledger)
    lost = [event for event in events if event["event"] == "lost"]
    assert result.counts == {"FINISHED": 6}
    assert lost and all(event["excused"] for event in lost)
    assert len({event["node"] for event in events if event["event"] == "started"}) == 2
    reports = [(event["trial"], event["epoch"]) for event in events if event["event"] == "report"]
    assert sorted(reports) == [(trial, epoch) for trial in range(6) for epoch in range(1, 5)]
