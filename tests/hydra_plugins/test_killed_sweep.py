"""A sweep whose driver is killed, and the same command again: each trial once, in ledger and MLflow."""

import contextlib
import json
import os
import signal
import sqlite3
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.commands import Command, run
from tests.hydra_plugins.test_ray_plugins import SMALL
from tests.training.small import write_small_shards

pytestmark = pytest.mark.ray
SEEDS = 4
COMMAND = [
    *("pipelines.train", "-m", "hydra/sweeper=ray", *SMALL),
    *("tracking=sqlite", "sweep.stack=false", "trainer.max_epochs=10", "trainer.checkpoint_every_steps=8"),
    "seed=" + ",".join(map(str, range(SEEDS))),
]


def events(yard: Path) -> list[dict]:
    ledgers = list((yard / "sweeps").glob("*/ledger.jsonl"))
    lines = ledgers[0].read_text().splitlines() if ledgers else []
    found = []
    for line in lines:
        with contextlib.suppress(ValueError):  # the last one may be half-written
            found.append(json.loads(line))
    return found


@pytest.mark.timeout(900)  # Ray starts twice
def test_a_killed_sweep_goes_on_and_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    write_small_shards(tmp_path / "data" / "shards" / "fashion_mnist")
    command = [word for word in COMMAND if word != "tracking=none"]
    driver = Command(*command, folder=tmp_path, session=True)
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and driver.poll() is None:
        # Some trial is in the middle: it has reported, and has not ended.
        seen = Counter(event["event"] for event in events(tmp_path))
        if seen["report"] >= 5 and seen["ended"] < SEEDS:
            break
        time.sleep(0.05)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    driver.close()
    before = events(tmp_path)
    kinds = Counter(event["event"] for event in before)
    assert kinds["report"] and kinds["ended"] < SEEDS, "it was killed too early or too late"

    status, _, err = run(*command, folder=tmp_path, timeout=600)

    assert status == 0, err
    after = events(tmp_path)
    assert after[: len(before)] == before
    ended = [(event["trial"], event["status"]) for event in after if event["event"] == "ended"]
    assert sorted(trial for trial, _ in ended) == list(range(SEEDS))
    assert {status for _, status in ended} <= {"FINISHED", "REUSED"}
    reports = Counter((event["trial"], event["epoch"]) for event in after if event["event"] == "report")
    assert set(reports.values()) == {1}
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as store:
        runs = store.execute("select name, status from runs").fetchall()
        names = ["neuron sweep", *(f"seed={seed}" for seed in range(SEEDS))]
        assert sorted(runs) == sorted((name, "FINISHED") for name in names)
        parents = store.execute("select count(*) from tags where key = 'mlflow.parentRunId'").fetchone()
        assert parents == (SEEDS,)
        measured = "select run_uuid, step from metrics where key = 'validation/accuracy'"
        points = store.execute(measured).fetchall()
        assert len(points) == len(set(points)) == SEEDS * 10
