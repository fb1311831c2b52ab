"""A sweep whose driver is killed or interrupted, and given the same command again."""

import contextlib
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from modules.sweeps.control.ledger import read_events
from tests.commands import ROOT, Command
from tests.processes import started_by
from tests.sweeps.small_sweep import make_sweep

pytestmark = pytest.mark.ray
POINTS = [{"x": str(x), "seconds": "1.0"} for x in range(8)]


def start(storage: Path, points: list[dict[str, str]]) -> Command:
    arguments = [str(storage), json.dumps(points)]
    return Command("tests.sweeps.driver", *arguments, folder=ROOT, session=True, one_stream=True)


def wait_for(what: Callable[[], Any], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.02)


def kinds(storage: Path) -> Counter[str]:
    path = make_sweep(storage, POINTS).folder / "ledger.jsonl"
    return Counter(event["event"] for event in read_events(path))


def check_whole(storage: Path, most_reused: int = 0) -> None:
    """No trial is lost, none doubled, no epoch trained twice or reported twice.

    Args:
        storage: of the sweep.
        most_reused: trials that it may find trained already: it was killed between their end and its entry.
    """
    found = read_events(make_sweep(storage, POINTS).folder / "ledger.jsonl")
    ended = {event["trial"]: event for event in found if event["event"] == "ended"}
    assert sorted(event["trial"] for event in found if event["event"] == "ended") == list(range(len(POINTS)))
    statuses = Counter(event["status"] for event in ended.values())
    assert statuses.keys() <= {"FINISHED", "REUSED"} and statuses["REUSED"] <= most_reused
    assert {number: event["value"] for number, event in ended.items()} == {
        number: -((number - 3) ** 2) / 4 for number in range(len(POINTS))
    }
    assert sorted(event["trial"] for event in found if event["event"] == "asked") == list(range(len(POINTS)))
    reports = Counter((event["trial"], event["epoch"]) for event in found if event["event"] == "report")
    assert reports == {(trial, epoch): 1 for trial in range(len(POINTS)) for epoch in range(1, 5)}


def test_interrupted_and_killed_it_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """One sweep, asked to end by both signals, then killed; each time the same command goes on."""
    num_ended = 0
    for number, status in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        driver = start(tmp_path, POINTS)
        before = kinds(tmp_path)
        wait_for(lambda now=before: kinds(tmp_path)["report"] >= now["report"] + 4)
        driver.send_signal(number)
        output, _ = driver.communicate(timeout=60)

        assert driver.returncode == status, output
        assert f"interrupted by {number.name}" in output
        assert "the same command goes on" in output
        assert "Traceback" not in output
        assert "***" not in output
        assert kinds(tmp_path)["lost"] == 0
        assert num_ended <= kinds(tmp_path)["ended"] < len(POINTS)
        num_ended = kinds(tmp_path)["ended"]

    driver = start(tmp_path, POINTS)
    wait_for(lambda: kinds(tmp_path)["ended"] > num_ended)
    workers = started_by(driver.pid, "ray::Worker", recursive=True)
    assert workers
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    driver.close()
    assert kinds(tmp_path)["ended"] < len(POINTS)

    again = start(tmp_path, POINTS)
    output, _ = again.communicate(timeout=120)

    assert again.returncode == 0, output
    check_whole(tmp_path, most_reused=2)  # as many as train at a time
    assert "going on with" in output
    # Those that were running at an end are started again, no other.
    assert kinds(tmp_path)["started"] <= len(POINTS) + 3 * 2
    wait_for(lambda: not any(process.is_running() for process in workers), 30)


def test_a_signal_to_all_processes_at_once_ends_it_soon(tmp_path: Path) -> None:
    """As SLURM's scancel and a container's end do: Ray's own parts and the workers get it too."""
    driver = start(tmp_path, POINTS)
    wait_for(lambda: kinds(tmp_path)["report"] >= 4)
    for process in psutil.Process(driver.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGTERM)
    driver.send_signal(signal.SIGTERM)
    output, _ = driver.communicate(timeout=25)

    assert driver.returncode == 143, output
    assert "the same command goes on" in output and "Traceback" not in output
    again = start(tmp_path, POINTS)
    output, _ = again.communicate(timeout=120)
    assert again.returncode == 0, output
    check_whole(tmp_path, most_reused=2)
