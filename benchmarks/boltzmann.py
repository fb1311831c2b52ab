"""What a step of a restricted Boltzmann machine costs, beside scikit-learn's and beside its products alone.

python -m benchmarks.boltzmann

All sides do persistent contrastive divergence with one Gibbs step, 784 visible and 500 hidden units, the same
images, batch size and precision, plain gradient descent without momentum and decay:

scikit-learn   `BernoulliRBM.fit`, one pass
yard           the whole training: Lightning, shard loader, checkpoints; from its first step to its last
step           the task's own steps, in a loop by hand
products       the three matrix products of a step and nothing else

The sides take turns, round by round, and their medians are compared.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from rich.console import Console
from sklearn.neural_network import BernoulliRBM
from threadpoolctl import threadpool_limits
from torch import Tensor

from benchmarks.plans import planned
from benchmarks.training import Stopwatch
from modules.configuration.command import arguments, run
from modules.configuration.plans.run_plan import Plan
from modules.configuration.static_analysis.targets import build
from modules.datamodules.shard_loader import TrainingLoader
from modules.datamodules.shard_set import ShardSet
from modules.tasks.contrastive_divergence import ContrastiveDivergence
from modules.training.fit import fit, initial_task
from modules.training.runs.freed_memory import keep_freed_memory

CASES = (("32-true", 10, 8.0), ("32-true", 100, 3.0), ("64-true", 10, 8.0), ("64-true", 100, 3.0))
"""Precision, batch size, and how many times scikit-learn's speed is aimed at."""
PRODUCTS_TARGET = 0.8


@dataclass(frozen=True)
class Arguments:
    """
    Args:
        rounds: times that each side runs.
        data: a dataset's shards of 28x28 images.
        threads: of arithmetic, on all sides.
        clock: cpu counts the CPU time of this process alone, on a machine that others use.
    """

    rounds: int = 5
    data: Path = Path("data/shards/mnist_digits")
    threads: int = 1
    clock: Literal["wall", "cpu"] = "wall"


def scikit_learn(images: Tensor, batch_size: int, clock: Callable[[], float]) -> float:
    """One pass, in seconds."""
    values = images.numpy()
    machine = BernoulliRBM(500, learning_rate=0.01, batch_size=batch_size, n_iter=1, random_state=0)
    started = clock()
    machine.fit(values)
    return clock() - started


def yard(plan: Plan, loader: TrainingLoader, clock: Callable[[], float]) -> float:
    """One epoch, in seconds."""
    stopwatch = Stopwatch(clock)
    with tempfile.TemporaryDirectory() as folder:
        fit(plan, loader, None, Path(folder) / "last.ckpt", None, Console(quiet=True), [stopwatch])
    return stopwatch.seconds


def step(plan: Plan, images: Tensor, batch_size: int, clock: Callable[[], float]) -> float:
    """One pass by hand, in seconds."""
    task = initial_task(plan)
    optimizer = build(plan.optimizer, params=task.parameters())
    assert isinstance(task, ContrastiveDivergence)
    batches = images.reshape(-1, batch_size, 1, 28, 28)
    started = clock()
    for batch in batches:
        task.gradient_step({"image": batch}, optimizer)
    return clock() - started


def products(images: Tensor, batch_size: int, clock: Callable[[], float]) -> float:
    """The matrix products of one pass, in seconds."""
    weights = torch.randn(500, 784, dtype=images.dtype)
    hidden = torch.rand(batch_size, 500, dtype=images.dtype)
    both, hidden_of_both = images[: 2 * batch_size], hidden.repeat(2, 1)
    started = clock()
    for _ in range(len(images) // batch_size):
        for one, other in ((hidden, weights), (both, weights.T), (hidden_of_both.T, both)):
            torch.mm(one, other)
    return clock() - started


def main(argv: list[str]) -> None:
    """Measures all cases and prints a table in Markdown."""
    chosen = arguments(argv, Arguments, __doc__ or "")
    torch.set_num_threads(chosen.threads)
    threadpool_limits(chosen.threads)
    keep_freed_memory()
    clock = time.perf_counter if chosen.clock == "wall" else time.process_time
    split = ShardSet.open(chosen.data).split("train")
    num_samples = split.num_samples // 1000 * 1000
    image = torch.from_numpy(split.read(np.arange(num_samples))["image"])
    print(f"{num_samples} samples, {chosen.threads} threads, {chosen.rounds} rounds, {chosen.clock} time\n")
    print("| precision | batch | scikit-learn, us a step | yard | step | products | scikit-learn / yard "
          "| scikit-learn / step | aimed at | products / step | aimed at |")  # fmt: skip
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    for precision, batch_size, target in CASES:
        dtype = torch.float64 if precision == "64-true" else torch.float32
        images = image.flatten(1).to(dtype) / 255
        plan = planned(["recipe=rbm", "task.binarise=false", "schedule=constant", "trainer.max_epochs=1",
                        "optimizer={_target_: torch.optim.SGD, lr: 0.01}", f"trainer.batch_size={batch_size}",
                        f"trainer.precision={precision}", "trainer.checkpoint_every_steps=100000",
                        "runtime.accelerator=cpu", "task.units=0..1"])  # fmt: skip
        loader = TrainingLoader(split, batch_size, plan.trainer.block_steps, seed=0)
        sides: dict[str, Callable[[], float]] = {
            "scikit-learn": partial(scikit_learn, images, batch_size, clock),
            "yard": partial(yard, plan, loader, clock),
            "step": partial(step, plan, images, batch_size, clock),
            "products": partial(products, images, batch_size, clock),
        }
        seconds = {name: [] for name in sides}
        for number in range(chosen.rounds + 1):
            for name, side in sides.items():
                torch.set_default_dtype(dtype if name == "step" else torch.float32)
                taken = side()
                if number:  # the first round warms up
                    seconds[name].append(taken)
        torch.set_default_dtype(torch.float32)
        num_steps = num_samples // batch_size
        us = {name: statistics.median(taken) / num_steps * 1e6 for name, taken in seconds.items()}
        us["yard"] *= num_steps / (split.num_samples // batch_size)
        print(f"| {precision} | {batch_size} | {' | '.join(f'{us[name]:,.0f}' for name in sides)} "
              f"| {us['scikit-learn'] / us['yard']:.2f} | {us['scikit-learn'] / us['step']:.2f} | {target:g} "
              f"| {us['products'] / us['step']:.2f} | {PRODUCTS_TARGET} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    run(main)
