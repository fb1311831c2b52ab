"""What a second worker brings: the time of a step by two workers against that of one, on this machine.

python -m benchmarks.workers

Both sides train the same recipe on the same batches under Ray, one thread a worker, in turns; the
batch is that of one optimiser step over all workers. A step's time is that of the blocks alone: start-up,
validation and checkpoints are left out. Communication is the time in which gradients are packed, averaged
and unpacked, waiting for the other worker included. The medians of the rounds are compared.
"""

import json
import os
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback
from rich.console import Console

from benchmarks.plans import planned
from modules.cluster.connection import connect
from modules.configuration.command import arguments, run
from modules.training.data_parallel import rank
from modules.training.ray_workers.ray_training import train_on_workers
from modules.training.runs.run_folder import RunFolder


@dataclass(frozen=True)
class Arguments:
    """
    Args:
        recipe: what is trained.
        batches: samples of one optimiser step over all workers.
        workers: of the larger side.
        rounds: times that each side runs.
        epochs: passes over the training split in each run.
        data: a dataset's shards.
    """

    recipe: str = "lenet"
    batches: list[int] | None = None
    workers: int = 2
    rounds: int = 3
    epochs: int = 1
    data: Path = Path("data/shards/fashion_mnist")


class StepTime(Callback):
    """Leaves the mean seconds of a step in a file; the first block warms up.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._started_s = self._seconds = 0.0
        self._first_step = 0

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self._started_s = time.perf_counter()

    def on_train_batch_end(self, trainer: Any, *rest: Any) -> None:
        if not self._first_step:
            self._first_step = trainer.global_step
        else:
            self._seconds += time.perf_counter() - self._started_s

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        if rank() == 0:
            self.path.write_text(str(self._seconds / (trainer.global_step - self._first_step)))


def measured(chosen: Arguments, batch_size: int, num_workers: int) -> dict[str, float]:
    """Trains once; the figures of its summary, and `step_s`."""
    plan = planned(
        [
            f"recipe={chosen.recipe}",
            f"trainer.batch_size={batch_size}",
            f"trainer.max_epochs={chosen.epochs}",
            "runtime=ray",
            f"runtime.num_workers={num_workers}",
            "runtime.num_threads=1",
            "runtime.accelerator=cpu",
            "tracking=none",
        ]
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stopwatch, console = StepTime(folder / "step_s"), Console(quiet=True)
        train_on_workers(plan, "0" * 64, chosen.data, RunFolder(folder), console, [stopwatch])
        summary = json.loads((folder / "summary.json").read_text())
        return {**summary, "step_s": float((folder / "step_s").read_text())}


def main(argv: list[str]) -> None:
    """Measures every batch size and prints a table in Markdown."""
    chosen = arguments(argv, Arguments, __doc__ or "")
    runtime = planned(["runtime=ray", f"runtime.num_workers={chosen.workers}"]).runtime
    connect(runtime)
    load = os.getloadavg()[0]
    print(f"{chosen.recipe}, {chosen.rounds} rounds, {os.cpu_count()} cores, load of others {load:.1f}\n")
    print(f"| batch | 1 worker, ms a step | {chosen.workers} workers, ms a step | speed-up "
          "| communication, ms a step | share | gradient bytes a step |")  # fmt: skip
    print("|---|---|---|---|---|---|---|")
    for batch_size in chosen.batches or [128, 1024]:
        one, many = [], []
        for _ in range(chosen.rounds):
            one.append(measured(chosen, batch_size, 1)["step_s"])
            many.append(measured(chosen, batch_size, chosen.workers))
        alone_s = statistics.median(one)
        together_s = statistics.median(figures["step_s"] for figures in many)
        communication_s = statistics.median(figures["communication_seconds_per_step"] for figures in many)
        print(
            f"| {batch_size} | {1e3 * alone_s:.2f} | {1e3 * together_s:.2f} | {alone_s / together_s:.2f} "
            f"| {1e3 * communication_s:.2f} | {communication_s / together_s:.2f} "
            f"| {many[0]['gradient_bytes_per_step']:,} |",
            flush=True,
        )


if __name__ == "__main__":
    run(main)
