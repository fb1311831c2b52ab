"""A run on the workers of a real Ray: deaths, signals, failures, another number of workers."""

import io
import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
import torch
from rich.console import Console

from modules.cluster.connection import connect
from modules.configuration.errors import UserError
from modules.configuration.settings import RuntimeSettings, read
from modules.training.interruption import Interrupted
from modules.training.run_folder import RunFolder
from modules.training.workers import train_on_workers
from tests.training.small import small_plan
from tests.training.together import Recorder, recorded, train_together

EVERY_STEPS, BLOCK_STEPS = 8, 4  # as in small_plan
pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings(r"ignore:`use_\w+` is deprecated:DeprecationWarning"),  # ray.data to itself
]


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    connect(read(RuntimeSettings, on_ray("neuron")["runtime"], "runtime"), num_cpus=3)
    yield
    ray.shutdown()


def on_ray(recipe: str, *overrides: str) -> dict[str, Any]:
    return small_plan(recipe, "runtime=ray", "runtime.num_workers=2", *overrides)


def train(plan: dict[str, Any], shards: Path, folder: Path, stop: Callable[[], bool] = lambda: True) -> str:
    """Trains in a folder and returns what was shown; `stop` is called now and then until it says True."""
    folder.mkdir(parents=True, exist_ok=True)
    shown, ended = io.StringIO(), threading.Event()

    def watch() -> None:
        while not ended.wait(0.01) and not stop():
            pass

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        console = Console(file=shown, force_terminal=True, width=100)
        train_on_workers(plan, "0" * 64, shards, RunFolder(folder), console, [Recorder(folder)])
    finally:
        ended.set()
        watching.join()
    assert not (folder / "ray").exists()
    return shown.getvalue()


def last_step(folder: Path) -> int:
    path = folder / "rank0.jsonl"
    return path.read_text().count("\n") * BLOCK_STEPS if path.exists() else 0


def workers() -> list[psutil.Process]:
    return [
        process
        for process in psutil.Process().children(recursive=True)
        if any("RayTrainWorker" in part for part in process.cmdline())
    ]


def test_a_killed_worker_costs_the_steps_since_the_last_checkpoint(
    small_shards: Path, tmp_path: Path
) -> None:
    def kill() -> bool:
        if last_step(tmp_path) < 30:
            return False
        workers()[-1].kill()
        return True

    plan = on_ray("lenet", "trainer.max_epochs=6")
    shown = train(plan, small_shards, tmp_path, kill)
    assert re.search("worker . died: going on from the last checkpoint|lost its connection", shown), shown
    resumed_at = int(re.search(r"going on at step (\d+) of", shown).group(1))  # type: ignore[union-attr]
    lines = recorded(tmp_path, 0)
    again = next(
        number for number, line in enumerate(lines) if number and line["step"] <= lines[number - 1]["step"]
    )
    reached = lines[again - 1]["step"]
    assert lines[again]["step"] == resumed_at + BLOCK_STEPS
    assert 0 <= reached - resumed_at <= EVERY_STEPS + BLOCK_STEPS

    # It ends with the bits of a training that nobody disturbed.
    whole = tmp_path / "whole"
    assert train_together(plan, small_shards, whole, 2, [Recorder(whole)]) == [0, 0]
    undisturbed = torch.load(whole / "weights.pt", weights_only=True)
    for name, value in torch.load(tmp_path / "weights.pt", weights_only=True).items():
        assert torch.equal(undisturbed[name], value), name
    assert json.loads((tmp_path / "outcome.json").read_text())["status"] == "FINISHED"
    assert "epoch 6/6  step 336  train/loss" in shown
    assert "336/336" in shown or "━━" in shown  # the bar, drawn by the worker for this terminal


def test_a_signal_to_the_driver_saves_and_one_worker_goes_on(small_shards: Path, tmp_path: Path) -> None:
    def signalled() -> bool:
        if last_step(tmp_path) < 30:
            return False
        os.kill(os.getpid(), signal.SIGTERM)
        return True

    plan = on_ray("lenet", "trainer.max_epochs=20")
    with pytest.raises(Interrupted) as interrupted:
        train(plan, small_shards, tmp_path, signalled)
    assert interrupted.value.signal == signal.SIGTERM
    assert json.loads((tmp_path / "outcome.json").read_text())["status"] == "KILLED"
    reached = recorded(tmp_path, 0)[-1]["step"]
    assert recorded(tmp_path, 1)[-1]["step"] == reached

    plan["trainer"]["max_epochs"] = 1 + reached // 56
    plan["runtime"]["num_workers"] = 1
    shown = train(plan, small_shards, tmp_path)
    assert f"going on at step {reached} of" in shown
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["num_workers"], summary["steps"]) == (1, 56 * plan["trainer"]["max_epochs"])


def test_failures_of_workers_are_the_drivers(small_shards: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the training diverged: .* Lower optimizer.lr"):
        train(on_ray("neuron", "optimizer=sgd", "optimizer.lr=1e30"), small_shards, tmp_path / "diverged")
    assert json.loads((tmp_path / "diverged" / "outcome.json").read_text())["status"] == "FAILED"

    def kill() -> bool:
        died = last_step(tmp_path / "killed") > 0
        if died:
            workers()[0].kill()
        return died

    plan = on_ray("lenet", "trainer.max_epochs=200", "runtime.max_restarts=0")
    with pytest.raises(UserError, match=r"runtime.max_restarts=0 is used up. The same command goes on"):
        train(plan, small_shards, tmp_path / "killed", kill)
    assert json.loads((tmp_path / "killed" / "outcome.json").read_text())["status"] == "FAILED"


def test_workers_without_room_are_refused_at_once(small_shards: Path, tmp_path: Path) -> None:
    started_s = time.monotonic()
    with pytest.raises(UserError, match=r"room for 1 workers of 2 CPU, not for 2. Set runtime.num_workers=1"):
        train(on_ray("neuron", "runtime.cpus_per_worker=2"), small_shards, tmp_path)
    assert time.monotonic() - started_s < 5
    assert not list(tmp_path.iterdir())
