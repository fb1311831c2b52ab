"""What stacking gains: trials trained as one program beside the same trials one after another.

python -m benchmarks.stacking

The trials are perceptrons that differ in the learning rate, or in the seed (and so in the order of their data
too), for one epoch over a part of the training split. The sides take turns, and their medians are compared:

alone      `modules.training.runs.run.train` of each trial, one after another, in a process that has imported
all loop       the training loop by hand of each, without Lightning, validation, curves, checkpoints and files
stack      `train_stacked` of all of them: validation, curves, files and all that `alone` has
halves     two processes of one thread each: `alone` of half of the trials, or `stack` of half

Where only one thread is used (threads=1), clock=cpu counts the CPU time of this process alone, on a
machine that others use; the halves are then left out.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import torch
from rich.console import Console
from torch import Tensor

from benchmarks.plans import planned
from modules.configuration.command import arguments, run
from modules.configuration.plans.run_plan import Plan
from modules.configuration.static_analysis.targets import build
from modules.datamodules.shard_loader import TrainingLoader
from modules.datamodules.shard_set import ShardSet
from modules.sweeps.workers.stacking import train_stacked
from modules.training.fit import initial_task
from modules.training.runs.freed_memory import keep_freed_memory
from modules.training.runs.run import train
from modules.training.runs.run_folder import RunFolder

CASES = (("[16]", 32), ("[64]", 32), ("[256]", 32), ("[256,128]", 128), ("[512,256]", 128))
"""Hidden sizes and batch size; the last are the recipe's own."""
TARGET = 4.0


@dataclass(frozen=True)
class Arguments:
    """
    Args:
        rounds: times that each side runs.
        trials: how many are trained.
        steps: of each trial.
        threads: of this process.
        hidden: sizes of the one case to measure; all if not given.
        data: a dataset's shards.
        clock: cpu counts the CPU time of this process alone.
    """

    rounds: int = 3
    trials: int = 32
    steps: int = 200
    threads: int = 2
    hidden: str | None = None
    data: Path = Path("data/shards/fashion_mnist")
    clock: Literal["wall", "cpu"] = "wall"


def plans(hidden: str, batch_size: int, differing: str, num_trials: int, num_threads: int) -> list[Plan]:
    """Plans of trials that differ in one number."""
    base = ["recipe=perceptron", f"model.hidden_sizes={hidden}", "model.dropout=0.0", "trainer.max_epochs=1"]
    base += [f"trainer.batch_size={batch_size}", "runtime.accelerator=cpu", "tracking=none"]
    base += [f"runtime.num_threads={num_threads}"]
    made = []
    for number in range(num_trials):
        value = f"seed={number}" if differing == "seed" else f"optimizer.lr={0.0005 * 1.1**number:.6f}"
        plan = planned([*base, value])
        made.append(plan)
    return made


def open_part(shards: Path, num_samples: int) -> ShardSet:
    """The dataset with a shorter training split, and a validation split as much shorter."""
    data = ShardSet.open(shards)
    whole = data.split("train").num_samples
    share = min(1.0, num_samples / whole)
    splits = {
        name: replace(split, num_samples=max(1, round(split.num_samples * share)))
        for name, split in data.splits.items()
    }
    return replace(data, splits=splits)


def alone(trials: list[Plan], shards: Path, num_samples: int) -> None:
    """One after another."""
    data = open_part(shards, num_samples)
    with tempfile.TemporaryDirectory() as runs:
        for number, plan in enumerate(trials):
            folder = RunFolder(Path(runs) / str(number))
            with folder.held():
                train(plan, "0" * 64, shards, folder, Console(quiet=True), data=data, deliver=False)


def loop(trials: list[Plan], shards: Path, num_samples: int) -> None:
    """One after another, by hand."""
    split = open_part(shards, num_samples).split("train")
    for plan in trials:
        torch.set_num_threads(plan.runtime.num_threads or 1)
        task = initial_task(plan).train()
        optimizer = build(plan.optimizer, params=task.model.parameters())
        schedule, rate = build(plan.schedule), plan.optimizer["lr"]
        loader = TrainingLoader(split, plan.trainer.batch_size, 50, plan.seed)
        step = 0
        for block in loader:
            for image, label in zip(block["image"], block["label"], strict=True):
                optimizer.param_groups[0]["lr"] = rate * schedule(step / loader.steps_per_epoch)
                loss: Tensor = task.loss({"image": image, "label": label}).quotient
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                step += 1


def stack(trials: list[Plan], shards: Path, num_samples: int) -> None:
    """As one program."""
    with tempfile.TemporaryDirectory() as runs:
        assignments = [
            {
                "trial": number,
                "plan": plan,
                "identity": f"{number:064}",
                "folder": f"{runs}/{number}",
                "shards": str(shards),
                "attempt": 1,
            }
            for number, plan in enumerate(trials)
        ]
        results = train_stacked(assignments, lambda *report: "continue", open_part(shards, num_samples))
        assert all(result["status"] == "FINISHED" for result in results.values())


def halves(pool: ProcessPoolExecutor, side: Callable[..., None], trials: list[Plan], *rest: Any) -> None:
    """Each process takes every other trial, with one thread."""
    trials = [plan.changed(runtime={**plan.configuration["runtime"], "num_threads": 1}) for plan in trials]
    for done in [pool.submit(side, trials[first::2], *rest) for first in (0, 1)]:
        done.result()


def main(argv: list[str]) -> None:
    """Measures all cases and prints a table in Markdown."""
    chosen = arguments(argv, Arguments, __doc__ or "")
    clock = time.perf_counter if chosen.clock == "wall" else time.process_time
    keep_freed_memory()
    print(f"{chosen.trials} trials, {chosen.steps} steps, {chosen.threads} threads, {chosen.clock} time\n")
    columns = ["hidden", "batch", "differing", "alone, s", "loop, s", "stack, s"]
    columns += ["alone / stack", "loop / stack"]
    if chosen.clock == "wall":
        columns += ["halves alone, s", "halves stacked, s", "alone / halves stacked", "loop / halves stacked"]
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        for hidden, batch_size in [case for case in CASES if chosen.hidden in (None, case[0])]:
            for differing in ("learning rate", "seed"):
                trials = plans(hidden, batch_size, differing, chosen.trials, chosen.threads)
                given = (trials, chosen.data, chosen.steps * batch_size)
                sides: dict[str, Callable[[], None]] = {
                    "alone": lambda given=given: alone(*given),
                    "loop": lambda given=given: loop(*given),
                    "stack": lambda given=given: stack(*given),
                }
                if chosen.clock == "wall":
                    sides["halves alone"] = lambda given=given: halves(pool, alone, *given)
                    sides["halves stacked"] = lambda given=given: halves(pool, stack, *given)
                seconds: dict[str, list[float]] = {name: [] for name in sides}
                for number in range(chosen.rounds + 1):
                    for name, side in sides.items():
                        began = clock()
                        side()
                        if number:  # the first round warms up
                            seconds[name].append(clock() - began)
                print(_row(hidden, batch_size, differing, seconds), flush=True)


def _row(hidden: str, batch_size: int, differing: str, seconds: dict[str, list[float]]) -> str:
    median = {name: statistics.median(taken) for name, taken in seconds.items()}
    cells = [
        hidden,
        str(batch_size),
        differing,
        *(f"{median[name]:.2f}" for name in ("alone", "loop", "stack")),
    ]
    cells += [f"{median[name] / median['stack']:.2f}" for name in ("alone", "loop")]
    if "halves stacked" in median:
        cells += [f"{median[name]:.2f}" for name in ("halves alone", "halves stacked")]
        cells += [f"{median[name] / median['halves stacked']:.2f}" for name in ("alone", "loop")]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    run(main)
