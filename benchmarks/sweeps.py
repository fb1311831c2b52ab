"""What a sweep costs beside its trials: our controller and warm workers beside Ray Tune's, in one Ray.

python -m benchmarks.sweeps

(a) trials that need torch and Lightning, as trainings do, and then take a while, on two slots: the seconds
from when the first has imported them to the end of the last, against the ideal of no time between trials;
what each slot loses is the overhead of a trial;
(b) trials that do nothing at all: seconds of the whole sweep, workers' start included.
The sides take turns, round by round, and their medians are compared. Ours writes its ledger through to the
disk, Tune its own files; Tune runs fewer of the empty trials, and its seconds are scaled.
"""

import logging
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytorch_lightning  # noqa: F401 (so that our workers import it as they start, as for trainings)
from rich.console import Console

from benchmarks.plans import planned
from modules.cluster.connection import connect
from modules.configuration.command import arguments, run
from modules.configuration.schema.execution_settings import RuntimeSettings, SweepSettings
from modules.sweeps.control.controller import run_sweep
from modules.sweeps.control.sweep_setup import Sweep
from modules.sweeps.search.search_space import Space

NUM_SLOTS = 2
TARGET = 1.05  # of the ideal
TARGET_MS = 25.0  # overhead of a trial
TARGET_EMPTY_S = 30.0  # for 1,000
SIDES = ("ours", "Tuner", "Tuner, reuse_actors")


@dataclass(frozen=True)
class Arguments:
    """
    Args:
        rounds: times that each side runs.
        trials: that take a while.
        seconds: that each of them takes.
        empty: trials that do nothing.
        tune_empty: how many of these Tune runs.
        tune: whether Tune takes its turns; it takes minutes.
    """

    rounds: int = 3
    trials: int = 20
    seconds: float = 1.0
    empty: int = 1000
    tune_empty: int = 40
    tune: bool = True


def training(folder: Path, seconds: float) -> None:
    """Imports what a training does, waits, and notes when."""
    import pytorch_lightning  # noqa: F401, F811 (Tune sends this function without its module)

    began_s = time.time()
    time.sleep(seconds)
    noted = folder / f"{os.getpid()}-{time.time_ns()}"
    noted.write_text(f"{began_s} {time.time()}")


def training_trials(assignments: list[dict[str, Any]], report: Any) -> dict[int, dict[str, Any]]:
    """(a) as a trial function."""
    for assignment in assignments:
        point = assignment["plan"].model["point"]
        training(Path(point["folder"]), float(point["seconds"]))
        report(assignment["trial"], 1, 1, {"validation/score": 0.0})
    return {assignment["trial"]: {"status": "FINISHED"} for assignment in assignments}


def empty_trials(assignments: list[dict[str, Any]], report: Any) -> dict[int, dict[str, Any]]:
    """(b) as a trial function."""
    return {assignment["trial"]: {"status": "FINISHED", "value": 0.0} for assignment in assignments}


def sweep_of(storage: Path, points: list[dict[str, str]]) -> Sweep:
    """A sweep of listed points whose plans name no network."""
    shards = storage / "data" / "shards" / "nothing"
    shards.mkdir(parents=True)
    (shards / "shards.json").write_text('{"splits": {}}')
    base = planned(["recipe=neuron", "tracking=none"])
    return Sweep(
        identity="0" * 64,
        folder=storage / "sweeps" / "0",
        space=Space(axes=(), fixed=(), points=tuple(points)),
        settings=SweepSettings(
            "grid", "none", None, None, None, None, "refuse", 0, False, False, 1, 2, 1, 0.25, 0
        ),
        runtime=RuntimeSettings("ray", "cpu", 1, 0, None, 1, 1, 0, 0, str(storage), "check"),
        metric="validation/score",
        mode="max",
        base=base,
        overrides=[],
        max_epochs=1,
        plan_of=lambda point: replace(base, model={**base.model, "point": point}),
    )


def by_us(folder: Path, trial: Callable[..., Any], points: list[dict[str, str]]) -> None:
    """One sweep of ours."""
    run_sweep(
        sweep_of(folder / "storage", points), Console(quiet=True), f"benchmarks.sweeps.{trial.__name__}"
    )


def by_tune(folder: Path, trial: Callable[[dict[str, Any]], None], num_trials: int, reuse: bool) -> None:
    """One experiment of Tune's."""
    from ray import tune

    def reporting(config: dict[str, Any]) -> None:
        trial(config)
        tune.report({"score": 0.0})

    tuner = tune.Tuner(
        tune.with_resources(reporting, {"cpu": 1}),
        param_space={"number": tune.grid_search(list(range(num_trials)))},
        tune_config=tune.TuneConfig(reuse_actors=reuse, max_concurrent_trials=NUM_SLOTS),
        run_config=tune.RunConfig(storage_path=str(folder / "tune"), verbose=0),
    )
    results = tuner.fit()
    assert len(results) == num_trials and not results.errors


def long_trials(side: str, chosen: Arguments) -> float:
    """Seconds from the begin of the first trial to the end of the last."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        notes = folder / "notes"
        notes.mkdir()
        if side == "ours":
            about = {"folder": str(notes), "seconds": str(chosen.seconds)}
            points = [{**about, "number": str(number)} for number in range(chosen.trials)]
            by_us(folder, training_trials, points)
        else:
            seconds = chosen.seconds
            by_tune(folder, lambda config: training(notes, seconds), chosen.trials, side != "Tuner")
        times = [tuple(map(float, note.read_text().split())) for note in notes.iterdir()]
    assert len(times) == chosen.trials
    return max(end for _, end in times) - min(begin for begin, _ in times)


def empty_ones(side: str, chosen: Arguments) -> float:
    """Seconds of a whole sweep of as many empty trials as we run."""
    with tempfile.TemporaryDirectory() as temporary:
        began_s = time.perf_counter()
        if side == "ours":
            by_us(Path(temporary), empty_trials, [{"number": str(n)} for n in range(chosen.empty)])
            return time.perf_counter() - began_s
        by_tune(Path(temporary), lambda config: None, chosen.tune_empty, side != "Tuner")
        return (time.perf_counter() - began_s) * chosen.empty / chosen.tune_empty


def in_turns(timed: Callable[[str, Arguments], float], chosen: Arguments) -> dict[str, float]:
    """The median seconds of each side, the sides in turn."""
    seconds: dict[str, list[float]] = {side: [] for side in (SIDES if chosen.tune else SIDES[:1])}
    for _ in range(chosen.rounds):
        for side in seconds:
            seconds[side].append(timed(side, chosen))
    return {side: statistics.median(taken) for side, taken in seconds.items()}


def main(argv: list[str]) -> None:
    """Measures both cases and prints two tables in Markdown."""
    chosen = arguments(argv, Arguments, __doc__ or "")
    warnings.simplefilter("ignore")  # Tune's, of its own older names
    logging.getLogger("ray").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as temporary:
        connect(sweep_of(Path(temporary), []).runtime, num_cpus=NUM_SLOTS)
    ideal = chosen.seconds * chosen.trials / NUM_SLOTS
    print(f"| {chosen.trials} trials of {chosen.seconds:g} s on {NUM_SLOTS} slots, ideally {ideal:g} s |"
          " seconds | / ideal | aimed at | overhead, ms a trial | aimed at |")  # fmt: skip
    print("|---|---:|---:|---:|---:|---:|")
    for side, seconds in in_turns(long_trials, chosen).items():
        overhead = 1e3 * (seconds - ideal) * NUM_SLOTS / chosen.trials
        print(
            f"| {side} | {seconds:.2f} | {seconds / ideal:.3f} | {TARGET} | {overhead:.0f} | {TARGET_MS:g} |"
        )
    print(f"\n| {chosen.empty:,} empty trials | seconds | aimed at |\n|---|---:|---:|")
    for side, seconds in in_turns(empty_ones, chosen).items():
        print(f"| {side} | {seconds:.1f} | {TARGET_EMPTY_S:g} |", flush=True)


if __name__ == "__main__":
    run(main)
