"""Where the wall time of a run has gone: parts that add up, over kills and restarts."""

import json
import multiprocessing
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytorch_lightning import Callback
from rich.console import Console

from modules.training.runs.checkpoint import read_checkpoint
from modules.training.runs.run import train
from modules.training.runs.run_folder import RunFolder
from modules.training.runs.sessions import PARTS, SESSIONS, Began, Session, read_times
from tests.training.small import small_plan


def write(path: Path, *events: dict[str, Any]) -> Path:
    path.write_text("".join(f"{json.dumps(event)}\n" for event in events))
    return path


def start(session: str, time_s: float, driver: str = "", cpus: float = 2.0) -> dict[str, Any]:
    return {
        "event": "start", "session": session, "time_s": time_s, "driver": driver, "cpus": cpus, "gpus": 0.5
    }  # fmt: skip


def spent(session: str, time_s: float, step: int, **seconds: float) -> dict[str, Any]:
    return {"event": "spent", "session": session, "time_s": time_s, "step": step, "seconds": seconds}


def test_steps_that_are_trained_again_and_time_between_workers_are_lost(tmp_path: Path) -> None:
    path = write(
        tmp_path / SESSIONS,
        start("a", 100, "driver"),
        spent("a", 103, 0, start_up=3),
        spent("a", 113, 40, start_up=3, steps=10),
        spent("a", 118, 60, start_up=3, steps=14, data=1),
        start("b", 125, "driver"),  # 7 s after the last sign of life
        spent("b", 127, 30, start_up=2),
        spent("b", 137, 70, start_up=2, steps=10),
        start("c", 9000, "another command"),
        spent("c", 9001, 70, start_up=1),
        spent("c", 9003, 80, start_up=1, steps=2),
    )
    times = read_times(path)
    assert times is not None
    # Of a's steps 30 to 60 come again: 10 of the 40 in 10 s, and all 20 in 4 s.
    assert times.seconds["lost"] == pytest.approx(7 + 2.5 + 4)
    assert times.seconds["steps"] == pytest.approx(7.5 + 10 + 2)
    assert times.seconds["start_up"] == pytest.approx(6)
    assert times.num_steps == 80
    assert times.wall_seconds == pytest.approx(18 + 7 + 12 + 3)
    assert times.goodput == pytest.approx(19.5 / 40)
    assert times.cpu_hours == pytest.approx(2 * 40 / 3600)
    assert times.gpu_hours == pytest.approx(0.5 * 40 / 3600)


@given(st.lists(st.tuples(st.integers(0, 50), st.lists(st.integers(0, 20), max_size=4)), max_size=5))
def test_each_step_counts_once_however_often_it_was_trained(sessions: list[tuple[int, list[int]]]) -> None:
    """Against a table of steps; a step takes a second."""
    events, trained, total, reached = [], set(), 0, 0
    for number, (where, lengths) in enumerate(sessions):
        name, step, seconds = str(number), min(where, reached), 0
        trained = {one for one in trained if one < step}
        events += [start(name, 1000.0 * number), spent(name, 1000.0 * number, step)]
        for length in lengths:
            trained |= set(range(step, step + length))
            step, seconds = step + length, seconds + length
            events.append(spent(name, 1000.0 * number + seconds, step, steps=seconds))
        total, reached = total + seconds, step
    with tempfile.TemporaryDirectory() as folder:
        times = read_times(write(Path(folder) / SESSIONS, *events))
    if times is None:
        assert not sessions
        return
    assert times.num_steps == len(trained)
    assert times.seconds["steps"] == pytest.approx(len(trained), abs=1e-6)
    assert times.wall_seconds == pytest.approx(total, abs=1e-6)


@pytest.mark.parametrize(
    "line", ['{"event": "spe', "[]", "null", '{"event": "spent", "session": "a", "time_s": -1}', "\x00"]
)
def test_what_a_kill_left_of_a_line_is_passed_over(tmp_path: Path, line: str) -> None:
    path = write(tmp_path / SESSIONS, start("a", 0), spent("a", 1, 5, steps=1))
    path.write_text(f"{path.read_text()}{line}\n")
    times = read_times(path)
    assert times is not None and times.wall_seconds == 1
    assert read_times(tmp_path / "none") is None


def test_a_second_worker_of_a_driver_begins_when_it_starts(tmp_path: Path) -> None:
    began = Began(time.time() - 50, "driver")
    assert Session(tmp_path / SESSIONS, began, 1, 0).seconds_before == pytest.approx(50, abs=1)
    assert Session(tmp_path / SESSIONS, began, 1, 0).seconds_before == 0


class Tell(Callback):
    """Tells a pipe of the first block that ends after half a second of steps was written down."""

    def __init__(self, sessions: Path, pipe: Any) -> None:
        self.sessions, self.pipe = sessions, pipe

    def on_train_batch_end(self, trainer: Any, *rest: Any) -> None:
        times = read_times(self.sessions)
        if times is not None and times.num_steps and times.wall_seconds > 0.5:
            self.pipe.send(trainer.global_step)
            time.sleep(60)


def train_and_tell(folder: Path, shards: Path, pipe: Any) -> None:
    plan = small_plan("lenet", "trainer.max_epochs=40", "trainer.checkpoint_every_steps=10000")
    train(plan, "0" * 64, shards, RunFolder(folder), Console(quiet=True), [Tell(folder / SESSIONS, pipe)])


def test_a_training_that_was_killed_adds_up_to_its_wall(small_shards: Path, tmp_path: Path) -> None:
    """Between two checkpoints, at the ends of epochs: some steps come again."""
    folder = RunFolder(tmp_path)
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(
        target=train_and_tell, args=(tmp_path, small_shards, sender)
    )
    process.start()
    step = receiver.recv()
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    first = read_times(tmp_path / SESSIONS)
    assert first is not None and 0 < first.num_steps <= step
    assert first.wall_seconds > 0.5

    restored = read_checkpoint(folder.checkpoint)["global_step"] if folder.checkpoint.exists() else 0
    epochs = step // 56 + 2
    plan = small_plan("lenet", f"trainer.max_epochs={epochs}", "runtime.price_per_hour=36")
    began_s = time.time()
    summary = train(plan, "0" * 64, small_shards, folder, Console(quiet=True), began=Began(began_s - 5))
    wall_s = time.time() - began_s + 5
    parts = summary["seconds_by_part"]
    assert list(parts) == list(PARTS)
    assert all(seconds >= 0 for seconds in parts.values())
    assert sum(parts.values()) == pytest.approx(summary["wall_seconds"], abs=0.01)
    assert first.wall_seconds + 5 < summary["wall_seconds"] < first.wall_seconds + wall_s + 0.01
    assert parts["start_up"] > 5
    assert parts["checkpoints"] > 0 and parts["validation"] > 0 and parts["communication"] == 0
    times = read_times(tmp_path / SESSIONS)
    assert times is not None
    unknown = max(0, restored - first.num_steps)  # trained after the last line and before the kill
    assert times.num_steps == summary["steps"] - unknown, "every other step counts once"
    again_s = first.seconds["steps"] * max(0, first.num_steps - restored) / first.num_steps
    assert parts["lost"] == pytest.approx(again_s, rel=0.9, abs=0.02)
    assert summary["goodput"] == pytest.approx(parts["steps"] / summary["wall_seconds"], abs=1e-3)
    assert summary["cpu_hours"] == pytest.approx(summary["wall_seconds"] / 3600, rel=0.01)  # one thread
    assert summary["gpu_hours"] == 0
    assert summary["money"] == pytest.approx(summary["wall_seconds"] / 100, rel=0.01)
    assert json.loads((tmp_path / "summary.json").read_text())["wall_seconds"] == summary["wall_seconds"]


def test_a_training_that_fails_says_what_it_has_spent(small_shards: Path, tmp_path: Path) -> None:
    plan = small_plan("lenet", "optimizer.lr=1e30", "trainer.max_epochs=3")
    with pytest.raises(Exception, match="diverged"):
        train(plan, "0" * 64, small_shards, RunFolder(tmp_path), Console(quiet=True))
    times = read_times(tmp_path / SESSIONS)
    assert times is not None and times.wall_seconds > 0.01
