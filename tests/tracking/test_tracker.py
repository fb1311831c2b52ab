import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from modules.configuration.errors import UserError
from modules.tracking.spool import EVENTS, read_events, read_history
from modules.tracking.tracker import Tracker

from .conftest import settings_for

OFF = settings_for(None)
RUN = {"name": "lenet", "identity": "ab" * 32, "tags": {}}


def events(folder: Path) -> list[Any]:
    return [event for event, _ in read_events(folder / EVENTS)]


def test_the_training_process_imports_no_mlflow():
    program = "import sys, modules.tracking.tracker; print({'mlflow', 'torch'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "set()\n"


def test_without_a_tracker_learning_curves_still_land_on_disk(tmp_path: Path):
    tracker = Tracker(tmp_path, OFF, RUN)
    for step in range(2500):
        tracker.metrics({"loss": 1 / (step + 1), "accuracy": step / 2500}, step)
    assert tracker.finish() is True
    assert tracker.finish("FAILED") is True  # a second call does nothing
    history = read_history(tmp_path)
    assert history["loss"] == [(step, 1 / (step + 1)) for step in range(2500)]
    assert [event["status"] for event in events(tmp_path) if event["event"] == "finish"] == ["FINISHED"]
    assert not (tmp_path / "state.json").exists() and not (tmp_path / "drainer.log").exists()
    assert Tracker.run_id(tmp_path, wait_s=10) is None


def test_values_recorded_while_the_spool_is_written_are_all_kept(tmp_path: Path):
    tracker = Tracker(tmp_path, OFF, RUN)
    stop = threading.Event()

    def flush_all_the_time() -> None:
        while not stop.is_set():
            tracker.flush()

    thread = threading.Thread(target=flush_all_the_time)
    thread.start()
    for step in range(50_000):
        tracker.metric("loss", 0.0, step)
    stop.set()
    thread.join()
    tracker.finish()
    assert [step for step, _ in read_history(tmp_path)["loss"]] == list(range(50_000))


def test_flush_puts_everything_on_disk(tmp_path: Path):
    tracker = Tracker(tmp_path, OFF, RUN)
    tracker.metric("loss", 0.5, 7)
    tracker.flush()
    assert read_history(tmp_path) == {"loss": [(7, 0.5)]}
    tracker.finish()


@pytest.mark.parametrize(
    "name", ["", "a\nb", "a\0b", "/a", "a//b", "a/../b", "loss+", "x" * 251, "../a", "a/."]
)
def test_names_that_mlflow_would_refuse_are_refused_at_once(tmp_path: Path, name: str):
    tracker = Tracker(tmp_path, OFF, RUN)
    with pytest.raises(ValueError, match="no name for a metric"):
        tracker.metric(name, 0.0, 0)
    tracker.finish()


def test_two_processes_cannot_record_into_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("modules.tracking.tracker.WRITER_WAIT_S", 0.1)
    tracker = Tracker(tmp_path, OFF, RUN)
    with pytest.raises(UserError, match="another process is recording"):
        Tracker(tmp_path, OFF, RUN)
    with pytest.raises(UserError, match="another process is recording"):
        Tracker.reopen(tmp_path)
    tracker.finish()
    Tracker.reopen(tmp_path).finish()


def test_a_folder_without_a_run_cannot_be_reopened(tmp_path: Path):
    with pytest.raises(UserError, match="no tracked run"):
        Tracker.reopen(tmp_path)


def test_files_are_kept_as_they_were(tmp_path: Path):
    images = tmp_path / "images"
    (images / "deep").mkdir(parents=True)
    (images / "a.txt").write_text("before")
    (images / "deep" / "b.txt").write_text("b")
    tracker = Tracker(tmp_path / "tracking", OFF, RUN)
    tracker.artifact(images / "a.txt")
    (images / "a.txt").write_text("after")
    tracker.artifact(images, "samples/")
    tracker.finish()
    kept = [event for event in events(tmp_path / "tracking") if event["event"] == "artifact"]
    assert [(event["folder"], (tmp_path / "tracking" / event["path"]).read_text()) for event in kept] == [
        ("", "before"),
        ("samples", "after"),
        ("samples/deep", "b"),
    ]


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path):
    tracker = Tracker(tmp_path, OFF, RUN)
    with pytest.raises(FileNotFoundError):
        tracker.artifact(tmp_path / "none.txt")
    tracker.finish()


def test_a_file_that_finds_no_room_stops_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    (tmp_path / "a.txt").write_text("a")
    tracker = Tracker(tmp_path / "tracking", OFF, RUN)
    (tmp_path / "tracking" / "artifacts").write_text("a file where the folder should be")
    tracker.artifact(tmp_path / "a.txt")
    tracker.finish()
    assert "a.txt is not handed on" in capfd.readouterr().err


def test_a_full_disk_stops_nothing_and_loses_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    tracker = Tracker(tmp_path, OFF, RUN)
    descriptor = tracker._writer._descriptor
    disk = os.dup(descriptor)
    full = os.open("/dev/full", os.O_RDWR)
    os.dup2(full, descriptor)
    for step in range(10):
        tracker.metric("loss", 0.0, step)
        tracker.flush()
    os.dup2(disk, descriptor)
    os.close(disk)
    os.close(full)
    tracker.finish()
    assert [step for step, _ in read_history(tmp_path)["loss"]] == list(range(10))
    assert capfd.readouterr().err.count("No space left on device") == 1


def test_an_unknown_status_is_refused(tmp_path: Path):
    tracker = Tracker(tmp_path, OFF, RUN)
    with pytest.raises(ValueError, match="FINISHED, FAILED, KILLED"):
        tracker.finish("DONE")
    tracker.finish()
