"""Where stuck workers stood is kept with the run at its tracker."""

from pathlib import Path
from typing import Any

from modules.tracking.spool import EVENTS, read_events
from modules.tracking.tracker import Tracker
from modules.training.runs.run import end_run
from modules.training.runs.run_folder import STUCK, RunFolder
from tests.tracking.conftest import settings_for


def test_what_stuck_workers_left_is_an_artifact_of_the_run(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    (tmp_path / STUCK).mkdir()
    (tmp_path / STUCK / "worker_1.txt").write_text("Thread MainThread: ...")
    tracker = Tracker(folder.tracking, settings_for(None), {"name": "x", "identity": "ab" * 32, "tags": {}})
    end_run(folder, tracker, "FAILED", "worker 1 died")
    events: list[Any] = [event for event, _ in read_events(folder.tracking / EVENTS)]
    (event,) = [one for one in events if one["event"] == "artifact"]
    assert event["folder"] == STUCK
    kept = folder.tracking / event["path"]
    assert kept.name.endswith("worker_1.txt") and kept.read_text() == "Thread MainThread: ..."
