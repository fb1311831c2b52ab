"""A run with as many workers as there is room for, on a cluster whose nodes die, come and leave."""

import io
import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import ray
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from ray.cluster_utils import Cluster
from rich.console import Console

from modules.cluster.connection import connect
from modules.configuration.errors import ConfigError, UserError
from modules.sweeps.control.resources import check_resources
from modules.training.ray_workers import elastic
from modules.training.ray_workers.elastic import most_workers
from modules.training.ray_workers.ray_training import train_on_workers
from modules.training.runs.run_folder import RunFolder
from tests.ray_clusters import MEMORY, ray_cluster
from tests.training.ray_workers.hang import Hang
from tests.training.small import small_plan
from tests.training.together import train_together

pytestmark = [
    pytest.mark.ray,
    pytest.mark.timeout(600),
]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    with ray_cluster(monkeypatch, num_cpus=1) as cluster:
        yield cluster


class Tell(Callback):
    """Says how many train, and waits at every step beyond the first hundred until it may go on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        if trainer.global_rank == 0:
            with (self.folder / "told").open("a") as file:
                file.write(f"{trainer.world_size}\n")
        if trainer.global_step > 100 and not (self.folder / "end").exists():
            time.sleep(0.2)


class Where(Callback):
    """Says on which node a worker trains."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        with (self.folder / f"node{trainer.global_rank}").open("a") as file:
            file.write(f"{ray.get_runtime_context().get_node_id()}\n")


def told(folder: Path) -> list[str]:
    path = folder / "told"
    return path.read_text().split() if path.exists() else []


def wait_for(folder: Path, *numbers: str) -> None:
    """Until so many have trained, one after another."""
    until_s = time.monotonic() + 240
    while True:
        found = told(folder)
        changes = [one for one, before in zip(found, ["", *found], strict=False) if one != before]
        if changes == list(numbers):
            return
        assert time.monotonic() < until_s and len(changes) <= len(numbers), changes
        time.sleep(0.1)


def test_a_run_takes_what_room_there_is(
    cluster: Cluster, small_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elastic, "_SETTLED_S", 1.0)
    dying = cluster.add_node(num_cpus=1, object_store_memory=MEMORY)
    plan = small_plan(
        "lenet", "runtime=ray", f"runtime.address={cluster.address}", "runtime.num_workers=2",
        "runtime.min_workers=1", "runtime.max_restarts=1", "trainer.max_epochs=4", "runtime.sharding=fsdp2",
    )  # fmt: skip
    connect(plan.runtime)
    folder, shown = tmp_path / "run", io.StringIO()
    folder.mkdir()
    with ThreadPoolExecutor() as other:
        console, callbacks = Console(file=shown), [Tell(folder)]
        running = other.submit(
            train_on_workers, plan, "0" * 64, small_shards, RunFolder(folder), console, callbacks
        )
        try:
            wait_for(folder, "2")
            cluster.remove_node(dying, allow_graceful=False)
            wait_for(folder, "2", "1")
            leaving = cluster.add_node(num_cpus=1, object_store_memory=MEMORY)
            wait_for(folder, "2", "1", "2")
            give_notice(leaving.node_id)
            wait_for(folder, "2", "1", "2", "1")
        finally:
            (folder / "end").touch()
        running.result()
    # Where a node's death is noticed late, it is tried with two once more.
    assert shown.getvalue().count("another number of workers has room: going on from the last check") >= 2
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["status"], summary["num_workers"]) == ("FINISHED", 1)

    alone = tmp_path / "alone"
    assert train_together(plan, small_shards, alone, 1, []) == [0]
    weights = torch.load(folder / "weights.pt", weights_only=True)
    for name, value in torch.load(alone / "weights.pt", weights_only=True).items():
        torch.testing.assert_close(weights[name], value, rtol=1e-3, atol=1e-4)


def test_a_run_goes_on_without_the_node_of_a_stuck_worker(
    cluster: Cluster, small_shards: Path, tmp_path: Path
) -> None:
    cluster.add_node(num_cpus=1, object_store_memory=MEMORY)
    plan = small_plan(
        "lenet", "runtime=ray", f"runtime.address={cluster.address}", "runtime.num_workers=2",
        "runtime.min_workers=1", "runtime.max_restarts=1", "runtime.worker_timeout_s=5",
    )  # fmt: skip
    connect(plan.runtime)
    shown, callbacks = io.StringIO(), [Hang(tmp_path, 30), Where(tmp_path)]
    train_on_workers(plan, "0" * 64, small_shards, RunFolder(tmp_path), Console(file=shown), callbacks)
    worker = r"worker 1 \(process \d+ on (\S+)\)"
    stuck = rf"{worker} has stood still for \d s, [^:]*: going on from [^,]*, without \1\n"
    assert re.search(stuck, shown.getvalue()), shown.getvalue()
    (stuck_there,) = (tmp_path / "node1").read_text().split()
    assert (tmp_path / "node0").read_text().split()[1] != stuck_there
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["status"], summary["num_workers"]) == ("FINISHED", 1)


def give_notice(node: str) -> None:
    """As a cloud's agent does before it takes a machine."""
    from ray._private import worker

    deadline_ms = int((time.time() + 600) * 1000)
    driver: Any = worker.global_worker
    accepted, why = driver.gcs_client.drain_node(node, 2, "preempted", deadline_ms)
    assert accepted, why


def test_the_number_shares_a_batch_evenly(cluster: Cluster) -> None:
    for _ in range(2):
        cluster.add_node(num_cpus=1, object_store_memory=MEMORY)
    runtime = small_plan("neuron", "runtime=ray", "runtime.num_workers=8", "runtime.min_workers=1").runtime
    connect(small_plan("neuron", "runtime=ray", f"runtime.address={cluster.address}").runtime)
    assert [most_workers(runtime, batch_size) for batch_size in (30, 32, 35)] == [3, 2, 1]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["runtime.min_workers=0"], "min_workers"),
        (["runtime.min_workers=3"], "3, and num_workers=2"),
        (["runtime.worker_timeout_s=0"], "no number of seconds above 1"),
    ],
)
def test_what_is_refused(overrides: list[str], said: str) -> None:
    with pytest.raises((ConfigError, UserError), match=said):
        small_plan("neuron", "runtime=ray", "runtime.num_workers=2", *overrides)


def test_a_sweep_has_none() -> None:
    runtime = small_plan("neuron", "runtime=ray", "runtime.num_workers=2", "runtime.min_workers=1").runtime
    with pytest.raises(UserError, match="a trial always has"):
        check_resources(runtime)
