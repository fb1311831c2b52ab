"""What the yard costs: its full training against a loop by hand, and shards against tensors in memory.

python -m benchmarks.training

All sides do the same steps on the same samples: same model, optimiser, learning-rate schedule, shuffling of
the whole split, conversion of uint8 to float, dropout. The yard's side is all of it: Lightning, shard loader,
tracker with its process beside it, curves, checkpoints written through to the disk. Validation is left out
on all sides, and so is the start of each. The yard's way with freed memory, a gain by itself, is lent to the
loop by hand as well. The sides take turns, round by round, and their medians are compared.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pytorch_lightning import Callback
from rich.console import Console
from torch import Tensor
from torch.nn import functional

from benchmarks.plans import planned
from modules.configuration.command import arguments, run
from modules.configuration.plans.run_plan import Plan
from modules.configuration.static_analysis.targets import build
from modules.datamodules.shard_loader import TrainingLoader
from modules.datamodules.shard_set import ShardSet
from modules.tracking.tracker import Tracker
from modules.training.fit import BlockLoader, fit, initial_task
from modules.training.runs.freed_memory import keep_freed_memory

CASES = (("lenet", 128, 0.95), ("perceptron", 32, 0.85))
"""Recipe, batch size, and the share of the hand-written loop's speed that is aimed at."""
SHARDS_TARGET = 0.95


@dataclass(frozen=True)
class Arguments:
    """
    Args:
        rounds: times that each side runs.
        epochs: passes over the training split in each run.
        data: a dataset's shards.
        threads: of arithmetic.
        clock: cpu counts the CPU time of this process alone, on a machine that others use.
    """

    rounds: int = 5
    epochs: int = 1
    data: Path = Path("data/shards/fashion_mnist")
    threads: int = 1
    clock: Literal["wall", "cpu"] = "wall"


class TensorLoader:
    """Blocks of shuffled batches from tensors in memory."""

    def __init__(self, fields: dict[str, Tensor], batch_size: int, block_steps: int) -> None:
        self.fields = fields
        self.batch_size = batch_size
        self.block_steps = block_steps
        self.steps_per_epoch = len(fields["label"]) // batch_size

    def __len__(self) -> int:
        return -(-self.steps_per_epoch // self.block_steps)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        rows = torch.randperm(len(self.fields["label"]))[: self.steps_per_epoch * self.batch_size]
        for chosen in rows.split(self.batch_size * self.block_steps):
            yield {
                name: values[chosen].unflatten(0, (-1, self.batch_size))
                for name, values in self.fields.items()
            }

    def set_epoch(self, epoch: int) -> None:
        """The order is shuffled again in any case."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """No run here is resumed."""


class Stopwatch(Callback):
    """Seconds from the first step to the end of the training, its last checkpoint included."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.seconds = 0.0

    def on_train_start(self, *rest: Any) -> None:
        self.seconds = -self.clock()

    def on_train_end(self, *rest: Any) -> None:
        self.seconds += self.clock()


def by_hand(plan: Plan, fields: dict[str, Tensor], clock: Callable[[], float]) -> float:
    """The loop that one writes without any framework."""
    model = initial_task(plan).model.train()
    optimizer = build(plan.optimizer, params=model.parameters())
    schedule = build(plan.schedule)
    learning_rate, batch_size = plan.optimizer["lr"], plan.trainer.batch_size
    images, labels = fields["image"], fields["label"]
    steps_per_epoch = len(labels) // batch_size
    num_steps = steps_per_epoch * plan.trainer.max_epochs
    started = clock()
    step = 0
    for _ in range(plan.trainer.max_epochs):
        order = torch.randperm(len(labels))
        for rows in order[: steps_per_epoch * batch_size].split(batch_size):
            optimizer.param_groups[0]["lr"] = learning_rate * schedule(step / num_steps)
            loss = functional.cross_entropy(model(images[rows].float() / 255), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
    return clock() - started


def by_yard(plan: Plan, loader: BlockLoader, tracker: Tracker, clock: Callable[[], float]) -> float:
    """The yard's training without validation, in a folder of its own."""
    stopwatch = Stopwatch(clock)
    with tempfile.TemporaryDirectory() as folder:
        fit(plan, loader, None, Path(folder) / "last.ckpt", tracker, Console(quiet=True), [stopwatch])
    return stopwatch.seconds


def main(argv: list[str]) -> None:
    """Measures all cases and prints a table in Markdown."""
    chosen = arguments(argv, Arguments, __doc__ or "")
    torch.set_num_threads(chosen.threads)
    keep_freed_memory()
    clock = time.perf_counter if chosen.clock == "wall" else time.process_time
    split = ShardSet.open(chosen.data).split("train")
    arrays = split.read(np.arange(split.num_samples), index=False)
    fields = {name: torch.from_numpy(array) for name, array in arrays.items()}
    sizes = f"{split.num_samples} samples, {chosen.threads} threads, {chosen.rounds} rounds"
    print(f"{sizes}, {chosen.clock} time\n")
    print("| recipe | batch | by hand, samples/s | yard on shards | yard on tensors | yard / hand | target "
          "| shards / tensors | target |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            **planned([]).configuration["tracking"],
            "uri": f"sqlite:///{folder}/mlflow.db",
            "artifact_root": folder,
        }
        tracker = Tracker(
            Path(folder) / "tracking", settings, {"name": "benchmark", "identity": "0", "tags": {}}
        )
        for recipe, batch_size, target in CASES:
            plan = planned([f"recipe={recipe}", f"trainer.batch_size={batch_size}",
                            f"trainer.max_epochs={chosen.epochs}", "runtime.accelerator=cpu"])  # fmt: skip
            block_steps = plan.trainer.block_steps
            sides: dict[str, Callable[[], float]] = {
                "hand": lambda plan=plan: by_hand(plan, fields, clock),
                "shards": lambda plan=plan, size=batch_size, steps=block_steps: by_yard(
                    plan, TrainingLoader(split, size, steps, seed=0), tracker, clock
                ),
                "tensors": lambda plan=plan, size=batch_size, steps=block_steps: by_yard(
                    plan, TensorLoader(fields, size, steps), tracker, clock
                ),
            }
            seconds = {name: [] for name in sides}
            for number in range(chosen.rounds + 1):
                for name, side in sides.items():
                    taken = side()
                    if number:  # the first round warms up
                        seconds[name].append(taken)
            medians = {name: statistics.median(taken) for name, taken in seconds.items()}
            num_samples = split.num_samples // batch_size * batch_size * chosen.epochs
            speeds = " | ".join(f"{num_samples / medians[name]:,.0f}" for name in sides)
            print(
                f"| {recipe} | {batch_size} | {speeds} | {medians['hand'] / medians['shards']:.3f} | {target}"
                f" | {medians['tensors'] / medians['shards']:.3f} | {SHARDS_TARGET} |",
                flush=True,
            )
        tracker.finish(wait_s=60.0)


if __name__ == "__main__":
    run(main)
