"""A tracker that has lost a run, or never had it, is told it."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from modules.tracking.sending_again import bring_to, has_run, has_version, lacks, send_again
from modules.tracking.store import open_store
from modules.tracking.tracker import Tracker
from tests.tracking.conftest import Settings, settings_for


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of a run that ended with tracking off."""
    folder = tmp_path / "tracking"
    tracker = Tracker(folder, settings_for(None), {"name": "x", "identity": "i", "tags": {}})
    for step in range(5):
        tracker.metric("loss", step / 4, step)
    tracker.finish()
    return folder


def test_a_run_that_was_recorded_for_none_can_be_sent(
    folder: Path, sqlite: Settings, recorded: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert not lacks(folder, settings_for(None)) and lacks(folder, sqlite)
    bring_to(folder, sqlite, "x")
    bring_to(folder, sqlite, "x")
    assert capsys.readouterr().out == f"x: sent to {sqlite['uri']}\n"
    run = recorded(sqlite, "i")
    assert list(run.curves["loss"]) == [(step, step / 4) for step in range(5)]
    assert run.info.status == "FINISHED"
    assert has_run(sqlite, run.info.run_id) is True and has_run(sqlite, "0" * 32) is False


def lose_runs(uri: str) -> None:
    """Leaves of an SQLite tracker what an empty one would hold. (Its file stays: it is open.)"""
    with closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as connection:
        connection.execute("DELETE FROM runs")
        connection.commit()


def test_a_lost_database_is_told_again_and_a_run_deleted_by_hand_is_not(
    folder: Path, sqlite: Settings, recorded: Callable[..., Any]
) -> None:
    assert send_again(folder, sqlite) == "" and not lacks(folder, sqlite)
    lose_runs(sqlite["uri"])
    assert lacks(folder, sqlite)
    assert send_again(folder, sqlite) == "" and not lacks(folder, sqlite)
    run_id = recorded(sqlite, "i").info.run_id
    open_store(sqlite)[0].delete_run(run_id)
    assert has_run(sqlite, run_id) is True and not lacks(folder, sqlite)


def test_a_version_counts_with_the_run_that_it_comes_from(folder: Path, sqlite: Settings) -> None:
    assert has_version(sqlite, "model", 1, "r") is False
    send_again(folder, sqlite)
    client, _ = open_store(sqlite)
    run_id = Tracker.run_id(folder)
    assert run_id is not None
    client.create_registered_model("model")
    client.create_model_version("model", source=f"runs:/{run_id}/x", run_id=run_id)
    assert has_version(sqlite, "model", 1, run_id) is True
    assert (
        has_version(sqlite, "model", 1, "0" * 32) is False
        and has_version(sqlite, "model", 2, run_id) is False
    )


def test_a_tracker_that_does_not_answer_has_lost_nothing(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "torn.db").write_bytes(b"SQLite format 3\0" + bytes(200))
    for uri in ("http://127.0.0.1:9", "postgresql://nobody@nowhere/x", f"sqlite:///{tmp_path}/torn.db"):
        assert has_run(settings_for(uri), "0" * 32) is None
        assert has_version(settings_for(uri), "model", 1, "0" * 32) is None
