"""A run on the workers of a real Ray: deaths, signals, failures, another number of workers."""

import contextlib
import io
import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from rich.console import Console

from modules.cluster.connection import connect
from modules.cluster.own_ray import leave
from modules.configuration.errors import UserError
from modules.configuration.plans.run_plan import Plan
from modules.training.ray_workers.ray_training import train_on_workers
from modules.training.runs.interruption import Interrupted, Interruption
from modules.training.runs.run_folder import RunFolder
from tests.processes import started_by
from tests.training.ray_workers.hang import Hang
from tests.training.small import small_plan
from tests.training.together import Recorder, recorded, train_together

EVERY_STEPS, BLOCK_STEPS = 8, 4  # as in small_plan
pytestmark = [
    pytest.mark.timeout(600),
]


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    connect(on_ray("neuron").runtime, num_cpus=3)
    yield
    leave()


def on_ray(recipe: str, *overrides: str) -> Plan:
    return small_plan(recipe, "runtime=ray", "runtime.num_workers=2", *overrides)


def train(
    plan: Plan,
    shards: Path,
    folder: Path,
    shown: io.StringIO,
    disturb: Callable[[], bool] = lambda: True,
    hold_at: int | None = None,
    more: Sequence[Callback] = (),
) -> None:
    """Trains in a folder; `disturb` is called now and then until it says that it is done.

    Args:
        hold_at: a step after which the workers wait until there is a file `disturbed`.
        more: callbacks.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.01) and not disturb():
            pass

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        console = Console(file=shown, force_terminal=True, width=100)
        callbacks = [Recorder(folder), *([] if hold_at is None else [Hold(folder, hold_at)]), *more]
        train_on_workers(plan, "0" * 64, shards, RunFolder(folder), console, callbacks)
    finally:
        ended.set()
        watching.join()
        assert not (folder / "ray").exists()


class Hold(Callback):
    """Keeps a worker from going on before it has been disturbed, however quick it is."""

    def __init__(self, folder: Path, step: int) -> None:
        self.folder, self.step = folder, step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        while trainer.global_step >= self.step and not (self.folder / "disturbed").exists():
            time.sleep(0.01)


def last_step(folder: Path) -> int:
    path = folder / "rank0.jsonl"
    return path.read_text().count("\n") * BLOCK_STEPS if path.exists() else 0


def workers() -> list[psutil.Process]:
    return started_by(os.getpid(), "TrainingWorker", recursive=True)


def resumed_at(shown: str) -> int:
    found = re.search(r"going on at step (\d+) of", shown)
    assert found, shown
    return int(found.group(1))


def test_deaths_and_signals_cost_few_steps_and_change_no_bit(small_shards: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    plan = on_ray("lenet", "trainer.max_epochs=6", "runtime.max_restarts=1")

    def at(*steps: int, do: Callable[[], None]) -> Callable[[], bool]:
        waiting = list(steps)

        def look() -> bool:
            if waiting and last_step(folder) >= waiting[0]:
                waiting.pop(0)
                do()
            return not waiting

        return look

    # The first death is borne, the second is one too many.
    shown = io.StringIO()
    with pytest.raises(UserError, match=r"max_restarts=1 is used up. The same command goes on"):
        train(plan, small_shards, folder, shown, at(30, 120, do=lambda: workers()[-1].kill()))
    assert re.search(r"(worker . died|a worker lost its connection): going on from", shown.getvalue())
    assert json.loads((folder / "outcome.json").read_text())["status"] == "FAILED"
    steps = [line["step"] for line in recorded(folder, 0)]
    resumed = resumed_at(shown.getvalue())
    again = max(number for number, step in enumerate(steps) if step == resumed + BLOCK_STEPS)
    assert 0 <= steps[again - 1] - resumed <= EVERY_STEPS + BLOCK_STEPS

    # The same command again, and a signal to the driver: all of them save and stop at the same block.
    shown = io.StringIO()
    with pytest.raises(Interrupted) as interrupted:
        train(plan, small_shards, folder, shown, at(180, do=lambda: os.kill(os.getpid(), signal.SIGTERM)))
    assert interrupted.value.signal == signal.SIGTERM
    assert json.loads((folder / "outcome.json").read_text())["status"] == "KILLED"
    assert 0 <= steps[-1] - resumed_at(shown.getvalue()) <= EVERY_STEPS + BLOCK_STEPS
    reached = recorded(folder, 0)[-1]["step"]
    assert recorded(folder, 1)[-1]["step"] == reached

    assert "━━" in shown.getvalue()  # the bar, drawn by the worker for this terminal

    # Two processes without Ray go on from there.
    assert train_together(plan, small_shards, folder, 2, [Recorder(folder)]) == [0, 0]
    assert json.loads((folder / "outcome.json").read_text())["status"] == "FINISHED"
    undisturbed = tmp_path / "undisturbed"
    assert train_together(plan, small_shards, undisturbed, 2, [Recorder(undisturbed)]) == [0, 0]
    weights = torch.load(folder / "weights.pt", weights_only=True)
    for name, value in torch.load(undisturbed / "weights.pt", weights_only=True).items():
        assert torch.equal(weights[name], value), name

    # The restart under one driver was lost, the time between commands was not; the parts add up.
    summary = json.loads((folder / "summary.json").read_text())
    parts = summary["seconds_by_part"]
    assert sum(parts.values()) == pytest.approx(summary["wall_seconds"], abs=0.01)
    assert parts["lost"] > 0.5 and parts["communication"] > 0 and parts["start_up"] > 0
    assert summary["cpu_hours"] == pytest.approx(2 * summary["wall_seconds"] / 3600, rel=0.01)
    alone = json.loads((undisturbed / "summary.json").read_text())["seconds_by_part"]
    assert alone["lost"] == 0 and alone["communication"] > 0


def test_a_workers_failure_is_the_drivers(small_shards: Path, tmp_path: Path) -> None:
    plan = on_ray("neuron", "optimizer=sgd", "optimizer.lr=1e30", "runtime.num_workers=1")
    with pytest.raises(UserError, match=r"the training diverged: .* Lower optimizer.lr"):
        train(plan, small_shards, tmp_path, io.StringIO())
    assert json.loads((tmp_path / "outcome.json").read_text())["status"] == "FAILED"


def test_workers_without_room_are_refused_at_once(small_shards: Path, tmp_path: Path) -> None:
    started_s = time.monotonic()
    with pytest.raises(UserError, match=r"room for 1 workers of 2 CPU, not for 2. Set runtime.num_workers=1"):
        train(on_ray("neuron", "runtime.cpus_per_worker=2"), small_shards, tmp_path, io.StringIO())
    assert time.monotonic() - started_s < 5
    assert not list(tmp_path.iterdir())


def test_a_driver_that_nobody_answers_begins_again(
    small_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modules.training.ray_workers.ray_training._ANSWER_S", 5.0)

    shown, handlers = io.StringIO(), list[Any]()

    def suspend() -> bool:
        if "going on from the last" in shown.getvalue():
            handlers.append(signal.getsignal(signal.SIGTERM))
            return True
        if last_step(tmp_path) < 30 or (tmp_path / "disturbed").exists():
            return False
        for process in psutil.Process().children(recursive=True):  # one of an earlier training may linger
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.name() == "ray::Mailbox":
                    process.suspend()
        (tmp_path / "disturbed").touch()
        return False

    plan = on_ray("lenet", "trainer.max_epochs=4", "runtime.num_workers=1", "runtime.max_restarts=3")
    train(plan, small_shards, tmp_path, shown, suspend, hold_at=30)
    assert "the connection to Ray died: going on from the last checkpoint" in shown.getvalue()
    assert json.loads((tmp_path / "outcome.json").read_text())["status"] == "FINISHED"
    assert isinstance(handlers[0].__self__, Interruption), "SIGTERM is not left to the Ray that was started"


def test_workers_that_do_not_go_on_are_named_and_the_run_goes_on(small_shards: Path, tmp_path: Path) -> None:
    """One in a process that lives, one with its whole process: connections stand, nobody else notices."""

    def suspend() -> bool:
        if last_step(tmp_path) < 60:
            return False
        workers()[-1].suspend()
        (tmp_path / "disturbed").touch()
        return True

    shown, limits = io.StringIO(), ["runtime.worker_timeout_s=5", "runtime.max_restarts=2"]
    plan = on_ray("lenet", "trainer.max_epochs=4", *limits)
    train(plan, small_shards, tmp_path, shown, suspend, hold_at=60, more=[Hang(tmp_path, 30)])
    worker = r"worker \d \(process \d+ on \S+\)"
    stuck = rf"{worker} has stood still for \d s, the others wait for it at collective \d+: going on from"
    assert re.search(stuck, shown.getvalue())
    assert re.search(rf"{worker} gave no sign of life for 5 s: going on from the last", shown.getvalue())
    assert json.loads((tmp_path / "outcome.json").read_text())["status"] == "FINISHED"
    kept = {path.name: path.read_text() for path in (tmp_path / "stuck").iterdir()}
    assert kept.keys() == {"worker_0.txt", "worker_1.txt"}
    assert "in on_train_batch_end\n    time.sleep(1000)" in kept["worker_1.txt"]
    assert "gloo:all_reduce" in kept["worker_0.txt"]
