"""A sweep and its trials: one drainer, whatever is killed, each run once and each value once."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from modules.tracking.drainer import drain
from modules.tracking.drainer_process import DrainerProcess
from modules.tracking.remote_run import PARENT_TAG
from modules.tracking.spool import read_followed
from modules.tracking.store import open_store
from modules.tracking.sweep_tracker import SweepTracker
from modules.tracking.tracker import Tracker
from modules.tracking.tracking_folder import DrainState, drainer_lock, is_held
from tests.processes import started_by

from .conftest import Settings
from .test_drainer import wait_until

Recorded = Callable[[Settings, str], Any]
SWEEP = {"name": "sweep", "identity": "sweep", "tags": {}}
ROOT = Path(__file__).parents[2]


@pytest.fixture
def undrained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is delivered before the test says so."""
    monkeypatch.setattr(DrainerProcess, "tend", lambda self: None)


def trial(folder: Path, settings: Settings, name: str, steps: range, status: str = "FINISHED") -> Tracker:
    """A trial's session; status "" leaves it open."""
    tracker = Tracker(folder, settings, {"name": name, "identity": name, "tags": {}}, deliver=False)
    for step in steps:
        tracker.metric("loss", 1 / (step + 1), step)
    tracker.flush()
    if status:
        assert tracker.finish(status)
    return tracker


def curve(steps: range) -> list[tuple[int, float]]:
    return [(step, 1 / (step + 1)) for step in steps]


def test_children_arrive_below_their_parent(tmp_path: Path, sqlite: Settings, recorded: Recorded):
    sweep = SweepTracker(tmp_path / "sweep" / "tracking", sqlite, SWEEP)
    folders = [tmp_path / "runs" / str(number) / "tracking" for number in range(3)]
    for number, folder in enumerate(folders):
        sweep.follow(folder, f"lr=0.{number}")
        sweep.follow(folder, f"lr=0.{number}")
        trial(folder, sqlite, f"trial{number}", range(20))
        sweep.metric("best/loss", 0.5, number)
    assert not list(tmp_path.glob("runs/*/tracking/drainer.log"))
    assert sweep.finish()
    parent = recorded(sqlite, "sweep")
    assert (parent.info.status, len(parent.curves["best/loss"])) == ("FINISHED", 3)
    for number in range(3):
        run = recorded(sqlite, f"trial{number}")
        assert (run.info.status, run.curves) == ("FINISHED", {"loss": curve(range(20))})
        assert run.info.run_name == f"lr=0.{number}"
        assert run.data.tags[PARENT_TAG] == parent.info.run_id
    wait_until(lambda: not is_held(drainer_lock(tmp_path / "sweep" / "tracking")))


@pytest.mark.usefixtures("undrained")
def test_a_run_of_its_own_or_of_another_sweep_stays_where_it_is(
    tmp_path: Path, sqlite: Settings, recorded: Recorded
):
    alone, shared = tmp_path / "alone" / "tracking", tmp_path / "shared" / "tracking"
    trial(alone, sqlite, "alone", range(5), "KILLED")
    drain(alone, patience_s=0)
    parents = []
    for name in ("first", "second"):
        sweep = SweepTracker(tmp_path / name / "tracking", sqlite, {**SWEEP, "identity": name})
        sweep.follow(shared)
        trial(shared, sqlite, "shared", range(10))
        if name == "second":
            sweep.follow(alone)
            trial(alone, sqlite, "alone", range(3, 10))
        sweep.finish(wait_s=0)
        assert drain(tmp_path / name / "tracking", patience_s=0) == ""
        parents.append(recorded(sqlite, name).info.run_id)
    assert recorded(sqlite, "shared").data.tags[PARENT_TAG] == parents[0]
    lone = recorded(sqlite, "alone")
    assert PARENT_TAG not in lone.data.tags and lone.info.status == "FINISHED"
    assert lone.curves == recorded(sqlite, "shared").curves == {"loss": curve(range(10))}


@pytest.mark.usefixtures("undrained")
def test_a_run_of_another_tracker_is_nobodys_child(tmp_path: Path, sqlite: Settings, recorded: Recorded):
    elsewhere = {**sqlite, "experiment": "elsewhere"}
    trial(tmp_path / "run" / "tracking", elsewhere, "elsewhere", range(5))
    trial(tmp_path / "off" / "tracking", {**sqlite, "uri": None}, "off", range(5))
    sweep = SweepTracker(tmp_path / "sweep" / "tracking", sqlite, SWEEP)
    for name in ("run", "off", "never_started"):
        sweep.follow(tmp_path / name / "tracking")
    sweep.finish(wait_s=0)
    assert drain(tmp_path / "sweep" / "tracking", patience_s=0) == ""
    assert PARENT_TAG not in recorded(elsewhere, "elsewhere").data.tags
    assert sweep._why_left(0) == ""


@pytest.mark.usefixtures("undrained")
def test_the_sweep_says_how_a_trial_ended_that_cannot(tmp_path: Path, sqlite: Settings, recorded: Recorded):
    sweep = SweepTracker(tmp_path / "sweep" / "tracking", sqlite, SWEEP)
    crashed, alive, lost = (tmp_path / name / "tracking" for name in ("crashed", "alive", "lost"))
    worker = (
        "import os, sys; from pathlib import Path; from modules.tracking.tracker import Tracker\n"
        "run = {'name': sys.argv[3], 'identity': sys.argv[3], 'tags': {}}\n"
        "tracker = Tracker(Path(sys.argv[1]), eval(sys.argv[2]), run, deliver=False)\n"
        "tracker.metric('loss', 1.0, 0); tracker.flush(); os.abort()"
    )
    for folder, name in ((crashed, "crashed"), (lost, "lost")):
        sweep.follow(folder)
        subprocess.run([sys.executable, "-c", worker, str(folder), repr(sqlite), name], cwd=ROOT)
    sweep.follow(alive)
    living = trial(alive, sqlite, "alive", range(3), status="")
    sweep.conclude(crashed, "FAILED", "the worker died of SIGABRT")
    sweep.conclude(tmp_path / "nowhere", "FAILED")
    sweep.finish(wait_s=0)
    living.finish()
    assert drain(tmp_path / "sweep" / "tracking", patience_s=0) == ""
    run = recorded(sqlite, "crashed")
    assert (run.info.status, run.data.tags["reason"]) == ("FAILED", "the worker died of SIGABRT")
    assert recorded(sqlite, "alive").info.status == "FINISHED"
    assert recorded(sqlite, "lost").info.status == "KILLED"
    with pytest.raises(ValueError, match="STOPPED"):
        sweep.conclude(crashed, "STOPPED")


@pytest.mark.usefixtures("undrained")
def test_one_child_that_cannot_go_holds_up_no_other(tmp_path: Path, sqlite: Settings, recorded: Recorded):
    """One was deleted by hand, the tracker of another is away."""
    deleted = tmp_path / "deleted" / "tracking"
    trial(deleted, sqlite, "deleted", range(3), "KILLED")
    drain(deleted, patience_s=0)
    client, _ = open_store(sqlite)
    client.delete_run(DrainState.load(deleted).run_id)  # type: ignore[union-attr]
    sweep = SweepTracker(tmp_path / "sweep" / "tracking", sqlite, SWEEP)
    sweep.follow(deleted)
    trial(deleted, sqlite, "deleted", range(3, 6))
    sweep.follow(tmp_path / "away" / "tracking")
    trial(tmp_path / "away" / "tracking", {**sqlite, "uri": "sqlite:////proc/no/db"}, "away", range(3))
    for number in range(3):
        sweep.follow(tmp_path / str(number) / "tracking")
        trial(tmp_path / str(number) / "tracking", sqlite, f"trial{number}", range(3))
    assert not sweep.finish(wait_s=0)
    why = drain(tmp_path / "sweep" / "tracking", patience_s=0)
    assert "has been deleted in MLflow" in why or "sqlite:////proc/no/db" in why
    assert recorded(sqlite, "sweep").info.status == "FINISHED"
    for number in range(3):
        assert recorded(sqlite, f"trial{number}").curves == {"loss": curve(range(3))}
    left = sweep._why_left(0)
    assert left.startswith("2 of its trials are not delivered, ")


def drainers_of(sweep: Path) -> list[psutil.Process]:
    """A drainer outlives the driver that started it."""
    command = ["modules.tracking.drainer", str(sweep / "tracking")]
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if (process.info["cmdline"] or [])[-2:] == command
    ]


@pytest.mark.parametrize("seed", range(2))
def test_whatever_is_killed_each_run_is_there_once_and_each_value_once(
    tmp_path: Path, sqlite: Settings, recorded: Recorded, seed: int
):
    """Driver, workers and drainer are killed at random moments; the same command is given again."""
    chance = random.Random(seed)
    num_trials, num_epochs = 6, 100
    sweep, runs = tmp_path / "sweep", tmp_path / "runs"
    runs.mkdir()
    command = [
        sys.executable,
        "-W",
        "error",
        str(Path(__file__).with_name("sweep_like.py")),
        str(sweep),
        str(runs),
    ]
    command += [repr(sqlite), str(num_trials), str(num_epochs), "0.02"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    victims = ["driver", "worker", "drainer"] * 3
    chance.shuffle(victims)

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)

    driver = start()
    try:
        for victim in victims:
            time.sleep(chance.uniform(0.1, 0.8))
            if victim == "driver":
                workers = started_by(driver.pid, "sweep_like")
                driver.kill()
                driver.communicate()
                driver = start()
                time.sleep(chance.uniform(0, 0.3))
                for worker in workers:  # Ray needs a moment to see that the driver is gone
                    worker.kill()
            elif victim == "worker":
                wait_until(lambda: started_by(driver.pid, "sweep_like"))[0].kill()  # noqa: B023 - called at once
            else:
                for drainer in wait_until(lambda: drainers_of(sweep)):
                    drainer.kill()
        (runs / "release").touch()
        assert "delivered True" in driver.communicate(timeout=180)[0]
    finally:
        driver.kill()
        driver.communicate()
    parent = recorded(sqlite, "sweep")
    assert (parent.info.status, parent.data.metrics["ended"]) == ("FINISHED", num_trials)
    client, experiment_id = open_store(sqlite)
    assert len(client.search_runs([experiment_id])) == num_trials + 1
    for number in range(num_trials):
        run = recorded(sqlite, f"trial{number}")
        assert run.info.status == "FINISHED" and run.data.tags[PARENT_TAG] == parent.info.run_id
        assert run.curves["loss"] == curve(range(num_epochs))
        assert [step for step, _ in run.curves["accuracy"]] == list(range(num_epochs))
        assert run.files == ["epoch"]
    assert len(list(read_followed(sweep / "tracking"))) >= num_trials
