"""What tracking costs the training process: a value recorded, and a loop beside each kind of tracker.

python -m benchmarks.tracking

(a) one value recorded, its share of writing the spool included, against an append to a list and against
MLflow on SQLite: `log_metric` one by one, and `log_batch` by the thousand; and many calls one by one;
(b) a loop whose steps are a matrix product and one recorded value, with no tracker, the spool alone
(`tracking=none`), a tracker that takes everything and one that is down. MLflow's process has started up.
The sides take turns, round by round, and their medians are compared.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from modules.configuration.command import arguments, run
from modules.tracking.store import open_store
from modules.tracking.tracker import Tracker
from modules.tracking.tracking_folder import DrainState

TARGET_US = 20.0
NUM_VALUES = 100_000
NUM_SINGLE = 200  # values sent to MLflow one by one
ROWS = 1000
STEPS = 1500
SIZE = 320  # of the step's matrices


@dataclass(frozen=True)
class Arguments:
    """
    Args:
        rounds: times that each side runs.
        clock: cpu counts the CPU time of this process alone, on a machine that others use.
    """

    rounds: int = 5
    clock: Literal["wall", "cpu"] = "wall"


def main(argv: list[str]) -> None:
    """Prints both tables."""
    chosen = arguments(argv, Arguments, __doc__ or "")
    clock = time.perf_counter if chosen.clock == "wall" else time.process_time
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        compare_values(folder, chosen.rounds, clock)
        compare_loops(folder, chosen.rounds, clock)


def compare_values(folder: Path, rounds: int, clock: Callable[[], float]) -> None:
    """Microseconds a value."""
    from mlflow.entities import Metric

    settings = settings_for(f"sqlite:///{folder / 'mlflow.db'}", folder)
    client, experiment_id = open_store(settings)
    run_id = client.create_run(experiment_id).info.run_id
    up = open_tracker(folder / "values", settings)
    off = open_tracker(folder / "off", settings_for(None, folder))
    step = 0

    def timed(side: str) -> float:
        nonlocal step
        step += NUM_VALUES
        began = clock()
        match side:
            case "list.append":
                values: list[float] = []
                for _ in range(NUM_VALUES):
                    values.append(0.5)
                return (clock() - began) / NUM_VALUES
            case "Tracker.metric, tracking=none" | "Tracker.metric":
                tracker = up if side == "Tracker.metric" else off
                for number in range(step, step + NUM_VALUES):
                    tracker.metric("train/loss", 0.5, number)
                tracker.flush()
                return (clock() - began) / NUM_VALUES
            case "MLflow log_metric":
                for number in range(step, step + NUM_SINGLE):
                    client.log_metric(run_id, "single", 0.5, step=number)
                return (clock() - began) / NUM_SINGLE
            case _:
                batch = [Metric("batch", 0.5, 0, number) for number in range(step, step + ROWS)]
                client.log_batch(run_id, metrics=batch)
                return (clock() - began) / ROWS

    sides = ["list.append", "Tracker.metric, tracking=none", "Tracker.metric"]
    sides += ["MLflow log_metric", "MLflow log_batch"]
    seconds = in_turns(sides, timed, rounds)
    print(f"one value recorded, median of {rounds} rounds (target {TARGET_US:g} us)")
    for side in sides:
        print(f"  {side:<30} {1e6 * statistics.median(seconds[side]):10.2f} us")
    calls = single_calls(up, step + NUM_VALUES)
    print(
        f"  single calls of Tracker.metric: median {calls[len(calls) // 2]:.2f} us,"
        f" 99.9% below {calls[int(0.999 * len(calls))]:.1f} us, slowest {calls[-1] / 1000:.1f} ms"
    )
    up.finish(wait_s=600)
    off.finish()


def single_calls(tracker: Tracker, step: int) -> list[float]:
    """Microseconds of single calls at 10,000 values a second, sorted: what a step may have to wait."""
    calls = []
    for number in range(step, step + 30_000):
        began = time.perf_counter()
        tracker.metric("train/loss", 0.5, number)
        ended = time.perf_counter()
        calls.append(1e6 * (ended - began))
        while time.perf_counter() < began + 1e-4:
            pass
    return sorted(calls)


def compare_loops(folder: Path, rounds: int, clock: Callable[[], float]) -> None:
    """Speed of a loop that records a value at every step, in parts of the same loop without a tracker."""
    uris = {
        "tracking=none": None,
        "tracker up": f"sqlite:///{folder / 'mlflow.db'}",
        "tracker down": "http://127.0.0.1:9",
    }
    matrix = np.random.default_rng(0).standard_normal((SIZE, SIZE)).astype(np.float32)
    number = 0

    def timed(side: str) -> float:
        nonlocal number
        number += 1
        if side == "no tracker":
            return loop(matrix, clock, None)
        tracker = open_tracker(folder / f"loop {number}", settings_for(uris[side], folder))
        seconds = loop(matrix, clock, tracker)
        tracker.finish(wait_s=600 if side == "tracker up" else 0)
        return seconds

    sides = ["no tracker", *uris]
    seconds = in_turns(sides, timed, rounds)
    bare = statistics.median(seconds["no tracker"])
    print(f"loop of {1000 * bare / STEPS:.2f} ms a step, one value a step, median of {rounds} rounds")
    for side in sides:
        ratios = [one / other for one, other in zip(seconds["no tracker"], seconds[side], strict=True)]
        print(f"  {side:<14} {statistics.median(ratios):.3f} of the speed without a tracker")


def loop(matrix: np.ndarray, clock: Callable[[], float], tracker: Tracker | None) -> float:
    """Seconds of the training-like loop."""
    product = matrix
    began = clock()
    for step in range(STEPS):
        product = matrix @ product
        product /= np.abs(product).max()
        if tracker is not None:
            tracker.metric("train/loss", float(product[0, 0]), step)
    return clock() - began


def in_turns(sides: list[str], timed: Callable[[str], float], rounds: int) -> dict[str, list[float]]:
    """Each side's seconds, the sides in turn, after one round that does not count."""
    for side in sides:
        timed(side)
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side in sides:
            seconds[side].append(timed(side))
    return seconds


def open_tracker(folder: Path, settings: dict[str, Any]) -> Tracker:
    """A tracker whose process has started up and met its store, or found it down."""
    tracker = Tracker(folder, settings, {"name": "benchmark", "identity": folder.name, "tags": {}})
    while settings["uri"] is not None:
        state = DrainState.load(folder)
        if state is not None and (state.run_id or state.error):
            break
        time.sleep(0.1)
    return tracker


def settings_for(uri: str | None, folder: Path) -> dict[str, Any]:
    """The section `tracking`."""
    return {
        "uri": uri,
        "artifact_root": str(folder / "mlartifacts"),
        "experiment": "benchmark",
        "system_metrics_every_s": 5.0,
        "drain_timeout_s": 0.0,  # a process that found its tracker down ends with its run
    }


if __name__ == "__main__":
    run(main)
