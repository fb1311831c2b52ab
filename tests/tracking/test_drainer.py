"""Processes that are killed, frozen and locked out: training goes on, and each thing arrives once."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from modules.tracking.sending_again import has_run, has_version, lacks
from modules.tracking.spool import EVENTS
from modules.tracking.store import open_store
from modules.tracking.tracking_folder import DrainState, drainer_lock, is_held

from .conftest import Server, Settings

Recorded = Callable[[Settings, str], Any]
Trainer = Callable[..., subprocess.Popen[str]]
OUTAGE_TIMEOUT_S = 3


def wait_until(condition: Callable[[], Any], timeout_s: float = 60.0) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (met := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
    return met


def identity(folder: Path) -> str:
    return str(folder).replace("/", "_")


def curve(stop: int) -> list[tuple[int, float]]:
    return [(step, 1 / (step + 1)) for step in range(stop)]


def drainer_of(process: subprocess.Popen[str]) -> psutil.Process | None:
    try:
        return next(iter(psutil.Process(process.pid).children()), None)
    except psutil.NoSuchProcess:
        return None


def num_sent_bytes(folder: Path) -> int:
    state = DrainState.load(folder)
    return state.offsets.get(EVENTS, 0) if state else 0


def output(process: subprocess.Popen[str]) -> list[str]:
    return process.communicate(timeout=120)[0].split("\n")


def test_training_sampled_and_finished(
    tmp_path: Path, sqlite: Settings, trainer: Trainer, recorded: Recorded
):
    folder = tmp_path / "tracking"
    process = trainer(folder, {**sqlite, "system_metrics_every_s": 0.5}, range(300), 0.01, "fail")
    drainer = wait_until(lambda: drainer_of(process))
    assert drainer.nice() >= 10 or wait_until(lambda: drainer.nice() >= 10)
    assert os.getsid(drainer.pid) == drainer.pid  # no terminal, no process group of the trainer's
    assert "True" in output(process)
    wait_until(lambda: not drainer.is_running() or drainer.status() == psutil.STATUS_ZOMBIE, 10)
    run = recorded(sqlite, identity(folder))
    assert (run.info.status, run.data.tags["reason"]) == ("FAILED", "loss is NaN")
    assert run.curves["training/loss"] == curve(300)
    memory = run.curves["system/process_memory_usage_megabytes"]
    assert [step for step, _ in memory] == list(range(len(memory))) and len(memory) >= 3
    assert all(5 < megabytes < 500 for _, megabytes in memory)


def test_drainer_killed_again_and_again(
    tmp_path: Path, sqlite: Settings, trainer: Trainer, recorded: Recorded
):
    """The first death finds MLflow half imported, the others find batches half acknowledged."""
    folder = tmp_path / "tracking"
    process = trainer(folder, sqlite, range(1200), 0.005, "hang")
    first = wait_until(lambda: drainer_of(process))
    first.kill()
    for _ in range(2):
        sent = num_sent_bytes(folder)
        with subprocess.Popen(
            [sys.executable, "-m", "modules.tracking.drainer", str(folder)], cwd=Path(__file__).parents[2]
        ) as drainer:
            wait_until(lambda: num_sent_bytes(folder) > sent)  # noqa: B023 - awaited at once
            drainer.kill()
    process.kill()
    drained = subprocess.run([sys.executable, "-m", "modules.tracking.drainer", str(folder)], timeout=60)
    assert drained.returncode == 0
    run = recorded(sqlite, identity(folder))
    assert run.info.status == "KILLED"
    assert run.curves["training/loss"] == curve(len(run.curves["training/loss"]))
    assert len(run.curves["training/loss"]) > 100


def test_the_tracker_starts_a_drainer_that_died(
    tmp_path: Path, sqlite: Settings, trainer: Trainer, recorded: Recorded
):
    folder = tmp_path / "tracking"
    process = trainer(folder, sqlite, range(50), 0.0, "hang")
    first = wait_until(lambda: drainer_of(process))
    first.kill()
    second = wait_until(lambda: (now := drainer_of(process)) and now.pid != first.pid and now, 30)
    assert wait_until(lambda: num_sent_bytes(folder))
    process.kill()
    wait_until(lambda: not second.is_running())
    run = recorded(sqlite, identity(folder))
    assert (run.info.status, run.curves["training/loss"]) == ("KILLED", curve(50))


def test_killed_trainer_says_killed_and_resumes_in_the_same_run(
    tmp_path: Path, sqlite: Settings, trainer: Trainer, recorded: Recorded
):
    folder = tmp_path / "tracking"
    process = trainer(folder, sqlite, range(10_000), 0.002, "finish")
    wait_until(lambda: num_sent_bytes(folder))
    assert recorded(sqlite, identity(folder)).info.status == "RUNNING"
    process.kill()
    checkpoint = max(int(line.split()[1]) for line in output(process) if line.startswith("checkpoint"))
    wait_until(lambda: not is_held(drainer_lock(folder)))
    killed = recorded(sqlite, identity(folder))
    assert killed.info.status == "KILLED"
    with (folder / EVENTS).open("ab") as spool:
        spool.write(b'{"event":"metrics","rows":[["training/lo')  # as a kill in mid-write leaves it
    resumed = trainer(folder, sqlite, range(checkpoint + 1, checkpoint + 500), 0.0, "finish")
    assert "True" in output(resumed)
    run = recorded(sqlite, identity(folder))
    assert (run.info.run_id, run.info.status) == (killed.info.run_id, "FINISHED")
    assert run.curves["training/loss"] == curve(checkpoint + 500)


def test_a_run_whose_folder_is_removed_is_killed_to_its_tracker(
    tmp_path: Path, sqlite: Settings, trainer: Trainer, recorded: Recorded
):
    folder = tmp_path / "tracking"
    process = trainer(folder, sqlite, range(10_000), 0.002, "finish")
    wait_until(lambda: num_sent_bytes(folder))
    drainer = drainer_of(process)
    assert drainer is not None
    shutil.rmtree(folder, ignore_errors=True)
    wait_until(lambda: recorded(sqlite, identity(folder)).info.status == "KILLED")
    run = recorded(sqlite, identity(folder))
    assert run.data.tags["reason"] == "its folder was removed"


def test_a_run_that_nobody_is_left_to_end_is_ended_by_the_next_in_its_folder(
    tmp_path: Path, sqlite: Settings, trainer: Trainer
):
    folder = tmp_path / "tracking"
    process = trainer(folder, sqlite, range(50), 0.0, "hang")
    drainer = wait_until(lambda: drainer_of(process))
    wait_until(lambda: num_sent_bytes(folder))
    process.kill()
    drainer.kill()
    process.wait()
    wait_until(lambda: not is_held(drainer_lock(folder)))
    shutil.rmtree(folder)
    elsewhere = trainer(tmp_path / "other" / "tracking", sqlite, range(50), 0.0, "hang")
    wait_until(lambda: num_sent_bytes(tmp_path / "other" / "tracking"))
    assert "True" in output(trainer(folder, sqlite, range(50), 0.0, "finish"))
    client, experiment_id = open_store(sqlite)
    runs = client.search_runs([experiment_id], order_by=["attributes.start_time ASC"])
    assert [run.info.status for run in runs] == ["KILLED", "RUNNING", "FINISHED"]
    assert runs[0].data.tags["reason"] == "its folder was removed"
    elsewhere.kill()


def test_two_drainers_never_share_a_folder(
    tmp_path: Path, sqlite: Settings, trainer: Trainer, recorded: Recorded
):
    folder = tmp_path / "tracking"
    process = trainer(folder, sqlite, range(100), 0.01, "hang")
    wait_until(lambda: num_sent_bytes(folder))
    mine = drainer_of(process)
    assert mine is not None
    second = subprocess.run(
        [sys.executable, "-m", "modules.tracking.drainer", str(folder)],
        timeout=60,
        capture_output=True,
        text=True,
    )
    assert (second.returncode, second.stderr) == (0, "")
    assert mine.is_running() and is_held(drainer_lock(folder))


def test_a_locked_database_delays_but_loses_nothing(
    tmp_path: Path, sqlite: Settings, trainer: Trainer, recorded: Recorded
):
    folder = tmp_path / "tracking"
    with sqlite3.connect(sqlite["uri"].removeprefix("sqlite:///"), isolation_level=None) as locker:
        locker.execute("BEGIN EXCLUSIVE")
        began = time.monotonic()
        process = trainer(folder, {**sqlite, "drain_timeout_s": 0.2}, range(200), 0.001, "finish")
        assert "False" in output(process)  # the training ended, and says that something is left
        assert time.monotonic() - began < 10
        assert num_sent_bytes(folder) == 0
        locker.execute("ROLLBACK")
    locker.close()
    drain = [sys.executable, "-m", "modules.tracking.drainer", str(folder)]
    wait_until(lambda: not is_held(drainer_lock(folder)))
    assert subprocess.run(drain, timeout=60).returncode == 0
    run = recorded(sqlite, identity(folder))
    assert (run.info.status, run.curves["training/loss"]) == ("FINISHED", curve(200))


@pytest.mark.parametrize("outage", ["killed", "frozen"])
def test_a_server_that_goes_and_comes_back(
    tmp_path: Path,
    server: Server,
    trainer: Trainer,
    recorded: Recorded,
    monkeypatch: pytest.MonkeyPatch,
    outage: str,
):
    """Steps keep their pace, and in the end every one of them is there, once."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", str(OUTAGE_TIMEOUT_S))  # the drainer inherits it
    folder = tmp_path / "tracking"
    process = trainer(folder, server.settings, range(1500), 0.005, "finish")
    wait_until(lambda: num_sent_bytes(folder))
    if outage == "killed":
        server.kill()
    else:
        server.signal(signal.SIGSTOP)
    try:
        error = wait_until(lambda: (state := DrainState.load(folder)) and state.error)
        assert error.startswith(f"{server.settings['uri']}: ") and len(error) < 150 and "\n" not in error
    finally:
        if outage == "killed":
            server.start()
        else:
            server.signal(signal.SIGCONT)
    said = output(process)
    assert "True" in said
    slowest_step_s = next(float(line.split()[2]) for line in said if line.startswith("slowest step"))
    assert slowest_step_s < OUTAGE_TIMEOUT_S / 2
    run = recorded(server.settings, identity(folder))
    assert (run.info.status, run.curves["training/loss"]) == ("FINISHED", curve(1500))
    assert run.files == ["plan.yaml"]


def test_files_reach_a_server(tmp_path: Path, server: Server, recorded: Recorded):
    from modules.tracking.tracker import Tracker

    (tmp_path / "plan.yaml").write_text("seed: 0\n")
    tracker = Tracker(tmp_path / "tracking", server.settings, {"name": "x", "identity": "files", "tags": {}})
    tracker.artifact(tmp_path / "plan.yaml", "configuration")
    tracker.metric("loss", float("nan"), 0)
    tracker.metric("loss", float("inf"), 1)
    assert tracker.finish()
    run = recorded(server.settings, "files")
    assert run.files == ["configuration/plan.yaml"]
    assert len(run.curves["loss"]) == 2
    assert Tracker.run_id(tmp_path / "tracking", wait_s=1) == run.info.run_id
    assert has_run(server.settings, run.info.run_id) is True
    assert has_run(server.settings, "0" * 32) is False
    assert has_version(server.settings, "model", 1, run.info.run_id) is False
    assert not lacks(tmp_path / "tracking", server.settings)
