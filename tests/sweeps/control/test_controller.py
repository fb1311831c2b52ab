"""Sweeps of trials that train nothing, on a real Ray: failures, stops, reuse, populations."""

import io
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ray._private import worker
from rich.console import Console

from modules.cluster.connection import connect
from modules.cluster.own_ray import (
    _processes_of,  # pyright: ignore[reportPrivateUsage]
    leave,
)
from modules.configuration.errors import UserError
from modules.configuration.plans.run_plan import Plan
from modules.report.sweep_results import read_sweep
from modules.sweeps.control.controller import SweepResult, run_sweep
from modules.sweeps.control.ledger import read_events
from modules.sweeps.control.sweep_setup import Sweep
from modules.sweeps.search.search_space import Axis, Space
from tests.sweeps.small_sweep import TRIAL, make_sweep, told


@pytest.fixture(scope="module", autouse=True)
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    connect(make_sweep(tmp_path_factory.mktemp("none"), []).runtime, num_cpus=2)
    yield
    leave()


def run(sweep: Sweep, trial: str = TRIAL) -> SweepResult:
    return run_sweep(sweep, Console(file=io.StringIO()), trial)


def events(sweep: Sweep, kind: str) -> list[dict[str, Any]]:
    return [event for event in read_events(sweep.folder / "ledger.jsonl") if event["event"] == kind]


def ended(sweep: Sweep) -> dict[int, dict[str, Any]]:
    found = events(sweep, "ended")
    assert len({event["trial"] for event in found}) == len(found), "a trial ended twice"
    return {event["trial"]: event for event in found}


def run_folder(sweep: Sweep, trial: int) -> Path:
    identity = events(sweep, "asked")[trial]["identity"]
    return Path(sweep.runtime.storage) / "runs" / identity[:16]


def lines(path: Path) -> list[str]:
    return path.read_text().split()


def test_a_trial_that_fails_fails_alone_and_says_why(tmp_path: Path) -> None:
    ways = ["", "raise", "diverge", "segfault", "abort", "memory", "measure_nan", "kill_always", ""]
    sweep = make_sweep(tmp_path, [{"x": str(x), "do": do} for x, do in enumerate(ways)])
    output = io.StringIO()

    result = run_sweep(sweep, Console(file=output, width=300), TRIAL)

    assert result.counts == {"FINISHED": 2, "FAILED": 7}
    assert result.best == 0
    found = ended(sweep)
    for trial, reason in enumerate(
        [
            "",
            "ZeroDivisionError: the worst happened",
            "the training diverged. Lower optimizer.lr",
            "segmentation fault",
            "aborted",
            "out of memory",
            "validation/score is nan after epoch 2",
            "the worker died",
            "",
        ]
    ):
        assert found[trial]["status"] == ("FAILED" if reason else "FINISHED")
        assert found[trial]["reason"].startswith(reason)
        assert f"trial {trial}" in output.getvalue() and reason in output.getvalue()
    assert "ctypes" in found[3]["reason"], "the frame that crashed is named"
    assert "ZeroDivisionError" in (run_folder(sweep, 1) / "traceback.txt").read_text()
    attempts = {trial: len(lines(run_folder(sweep, trial) / "attempts")) for trial in found}
    assert attempts == {0: 1, 1: 1, 2: 1, 3: 1, 4: 1, 5: 1, 6: 1, 7: 1 + sweep.settings.max_retries, 8: 1}
    assert [event["trial"] for event in events(sweep, "lost")] == [7, 7, 7]


def test_a_killed_worker_loses_and_doubles_nothing(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, [{"x": "1", "do": "kill_once"}, {"x": "2"}])

    assert run(sweep).counts == {"FINISHED": 2}

    assert [(event["trial"], event["attempt"]) for event in events(sweep, "lost")] == [(0, 1)]
    reports = [event["epoch"] for event in events(sweep, "report") if event["trial"] == 0]
    assert reports == [1, 2, 3, 4]
    assert lines(run_folder(sweep, 0) / "trained") == ["1", "2", "3", "4"]


def test_a_killed_raylet_is_said_and_another_ray_goes_on(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, [{"x": "1", "do": "kill_raylet"}, {"x": "2"}])
    output = io.StringIO()
    node: Any = worker._global_node
    session, count = node.get_session_dir_path(), {"FINISHED": 2}

    assert run_sweep(sweep, Console(file=output, width=300), TRIAL).counts == count

    assert "trial 0  lost, tried again: Ray's raylet died (SIGKILL)" in output.getvalue()
    assert lines(run_folder(sweep, 0) / "trained") == ["1", "2", "3", "4"]
    assert not _processes_of(session)


def test_workers_are_used_again(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, [{"x": str(x)} for x in range(12)])
    run(sweep)
    processes = {lines(run_folder(sweep, trial) / "attempts")[0] for trial in range(12)}
    assert len(processes) <= 2


def test_the_same_command_again_starts_nothing(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, [{"x": "1"}, {"x": "2", "do": "raise"}])
    first = run(sweep)
    before = (sweep.folder / "ledger.jsonl").read_bytes()
    assert run(sweep).counts == first.counts
    assert (sweep.folder / "ledger.jsonl").read_bytes() == before


def test_what_the_machine_failed_is_tried_again_by_the_same_command(tmp_path: Path) -> None:
    points = [{"x": "1", "do": "disk"}, {"x": "2", "do": "disk_said"}, {"x": "4", "do": "raise_once"}]
    sweep = make_sweep(tmp_path, [*points, {"x": "5"}])
    assert run(sweep).counts == {"FAILED": 3, "FINISHED": 1}
    first = {number: event["reason"] for number, event in ended(sweep).items()}
    assert "No space left on device" in first[0] and first[1] == "the disk is full"

    result = run(sweep)
    assert result.counts == {"FAILED": 1, "FINISHED": 3}
    assert [event["trial"] for event in events(sweep, "again")] == [0, 1]
    assert lines(run_folder(sweep, 0) / "trained") == ["1", "2", "3", "4"]  # from where it was
    assert result.best == 1

    # Any failure, where that is asked for; and a ledger with all of that is read as it was written.
    again = replace(sweep, settings=replace(sweep.settings, retry_failed=True))
    assert run(again).counts == {"FINISHED": 4}
    assert [event["trial"] for event in events(sweep, "again")] == [0, 1, 2]
    trials = read_sweep(sweep.folder).trials
    assert [trial.status for trial in trials] == ["FINISHED"] * 4
    assert "number 1 of 4 trials" in (sweep.folder / "best.yaml").read_text()


def test_runs_trained_elsewhere_are_reused_without_a_worker(tmp_path: Path) -> None:
    points = [{"x": "1"}, {"x": "2"}]
    first = make_sweep(tmp_path, points)
    run(first)
    second = make_sweep(tmp_path, points, max_retries=1)
    assert second.folder != first.folder

    assert run(second).counts == {"REUSED": 2}

    assert not events(second, "started")
    assert {number: event["value"] for number, event in ended(second).items()} == {
        number: event["value"] for number, event in ended(first).items()
    }


def test_two_trials_of_one_run_train_it_once(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, [{"x": "1", "seconds": "0.4"}] * 3)
    assert run(sweep).counts == {"FINISHED": 1, "REUSED": 2}
    assert len(events(sweep, "started")) == 1
    assert ended(sweep)[2]["reason"] == "the same run as trial 0"


def test_halving_stops_the_worse(tmp_path: Path) -> None:
    points = [{"x": x} for x in ("3", "9", "2", "8")]
    sweep = make_sweep(tmp_path, points, scheduler="asha", max_concurrent=1)
    assert run(sweep).counts == {"FINISHED": 1, "STOPPED": 3}
    assert ended(sweep)[0]["status"] == "FINISHED"
    assert [ended(sweep)[number]["value"] for number in (1, 3)] == [-36.0, -25.0], "after the first epoch"


def test_a_stop_that_was_decided_holds_though_its_worker_died(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, [{"x": "3"}, {"x": "9"}], scheduler="asha", max_concurrent=1)
    run(sweep)
    path = sweep.folder / "ledger.jsonl"
    kept = path.read_text().splitlines()[:-1]
    assert json.loads(kept[-1])["decision"] == "stop"
    path.write_text("\n".join(kept) + "\n")

    assert run(sweep).counts == {"FINISHED": 1, "STOPPED": 1}

    assert len(events(sweep, "started")) == 2


def test_impossible_points_are_refused_and_the_others_trained(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, [{"x": "1"}, {"x": "2"}])

    def plan_of(point: dict[str, str]) -> Plan:
        if point["x"] == "1":
            raise UserError("shapes do not agree")
        return told(sweep.base, point)

    sweep = replace(sweep, plan_of=plan_of)
    assert run(sweep).counts == {"REFUSED": 1, "FINISHED": 1}
    assert events(sweep, "refused")[0]["reason"] == "shapes do not agree"
    assert run(sweep).counts == {"REFUSED": 1, "FINISHED": 1}


def test_a_population_takes_turns_and_goes_on_from_the_better(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, [], search="random", num_trials=6, scheduler="pbt", quantile=0.34)
    sweep = replace(sweep, space=Space(axes=(Axis("x", low=0.0, high=9.0),), fixed=()))
    result = run(sweep, "tests.sweeps.trial_functions.member")
    assert result.counts == {"FINISHED": 6}
    changes = [event for event in events(sweep, "report") if event["decision"] != "continue"]
    assert changes
    lineages = [(sweep.folder / "members" / str(number) / "lineage").read_text() for number in range(6)]
    for change in changes:
        donor, member = str(change["decision"]["copy_from"]), change["trial"]
        assert any(donor in lineage for lineage in lineages), "weights came from the donor"
        assert ended(sweep)[member]["value"] > -((9.0 - 3.0) ** 2)
    assert all(len(lineage) == 4 for lineage in lineages), "no epoch more or less"
    assert any(len(set(lineage)) > 1 for lineage in lineages)
    assert not list(sweep.folder.rglob("taken_over.ckpt"))


def test_what_no_node_has_is_refused_at_once(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, [{"x": "1"}])
    sweep = replace(sweep, runtime=replace(sweep.runtime, cpus_per_worker=1000))
    began_s = time.monotonic()
    with pytest.raises(
        UserError, match=r"runtime.cpus_per_worker=1000: no node of the cluster has more than 2"
    ):
        run(sweep)
    assert time.monotonic() - began_s < 5


def test_a_trial_function_that_cannot_be_imported_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"workers cannot start: .*nowhere"):
        run(make_sweep(tmp_path, [{"x": "1"}]), "tests.nowhere.nothing")


def test_a_metric_that_no_trial_measures(tmp_path: Path) -> None:
    sweep = replace(make_sweep(tmp_path, [{"x": "1"}]), metric="validation/beauty")
    assert run(sweep).counts == {"FAILED": 1}
    assert ended(sweep)[0]["reason"] == "it measures no validation/beauty, but validation/score"


def test_a_ledger_of_another_sweep_is_refused(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, [{"x": "1"}])
    run(sweep)
    other = make_sweep(tmp_path, [{"x": "2"}])
    with pytest.raises(UserError, match="is another sweep's"):
        run(replace(other, folder=sweep.folder))
    with pytest.raises(UserError, match="is another sweep's"):
        run(replace(other, folder=sweep.folder, identity=sweep.identity))
