"""What memory workers save that hold a shard of weights, gradients and optimiser states each.

OMP_NUM_THREADS=1 python -m benchmarks.sharding

Workers joined by gloo on loopback, one thread each, train the same classifier under AdamW on the same
batches, in processes of their own: in turns, each holds all (A) or a shard (B), A B A B. The highest resident
memory that a worker adds to that of a process that has imported everything, and the time of a step, are those
of the first one; medians over the rounds.
"""

import json
import multiprocessing
import resource
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # which sharding takes, and which is no state
from torch import Tensor, distributed, nn
from torch.nn.functional import cross_entropy

from modules.configuration.command import arguments, run
from modules.metrics.mean import Mean
from modules.tasks.task import Task
from modules.training.gradient_average import GradientAverage
from modules.training.runs.freed_memory import keep_freed_memory, return_freed_memory
from modules.training.sharding.local_steps import step_locally
from modules.training.sharding.sharded_task import ShardedTask
from modules.training.sharding.whole_tensors import local_of


@dataclass(frozen=True)
class Arguments:
    """
    Args:
        workers: how many.
        layers: of 1024 to 1024, 1,049,600 parameters each.
        steps: in a turn; two more warm up.
        rounds: turns of each side.
    """

    workers: int = 2
    layers: int = 24
    steps: int = 5
    rounds: int = 3


class Wide(Task):
    """Classes of vectors by layers of 1024."""

    def loss(self, batch: dict[str, Tensor]) -> Mean:
        return Mean.of(cross_entropy(self.model(batch["values"]), batch["label"], reduction="none"))


def _work(number: int, folder: Path, chosen: Arguments, is_sharded: bool, answers: Any) -> None:
    torch.set_num_threads(1)
    size = chosen.workers
    distributed.init_process_group("gloo", init_method=f"file://{folder}/met", rank=number, world_size=size)
    torch.manual_seed(0)
    batch = {"values": torch.randn(16, 1024), "label": torch.randint(0, 1024, (16,))}
    _ = return_freed_memory() if is_sharded else keep_freed_memory()  # as trainings do
    distributed.barrier()
    before_bytes = _highest_bytes()
    layers = (part for _ in range(chosen.layers) for part in (nn.Linear(1024, 1024), nn.Tanh()))
    task = Wide(nn.Sequential(*layers))
    sharded = ShardedTask(task, batch, "cpu") if is_sharded else None
    (step,) = task.steps() if sharded is None else sharded.steps()
    optimizer = torch.optim.AdamW(step.learned, fused=True)
    average = None
    if sharded is None:
        average = GradientAverage(task, list(task.parameters()))
    else:
        step_locally(optimizer)
    started_s = 0.0
    for done in range(chosen.steps + 2):
        if done == 2:
            started_s = time.perf_counter()
        loss = step.loss(batch)
        optimizer.zero_grad()
        if average is not None:
            average.open()
        loss.quotient.backward()
        if average is not None:
            average()
        if sharded is not None:
            sharded.settle()
        optimizer.step()
    seconds = (time.perf_counter() - started_s) / chosen.steps
    kept = [*task.parameters(), *(one.grad for one in task.parameters())]
    kept += [value for state in optimizer.state.values() for value in state.values() if value.ndim]
    if number == 0:
        num_bytes = sum(local_of(one).nbytes for one in kept if one is not None)
        answers.put((num_bytes, _highest_bytes() - before_bytes, seconds))
    distributed.barrier()
    distributed.destroy_process_group()


def _highest_bytes() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main(argv: list[str]) -> None:
    """Measures, and prints a line for each side."""
    chosen = arguments(argv, Arguments, __doc__ or "")
    context = multiprocessing.get_context("spawn")
    found: dict[bool, list[tuple[int, int, float]]] = {False: [], True: []}
    for _ in range(chosen.rounds):
        for is_sharded in (False, True):
            answers = context.Queue()
            with tempfile.TemporaryDirectory() as folder:
                workers = [
                    context.Process(target=_work, args=(number, Path(folder), chosen, is_sharded, answers))
                    for number in range(chosen.workers)
                ]
                for worker in workers:
                    worker.start()
                found[is_sharded].append(answers.get())
                for worker in workers:
                    worker.join()
    for is_sharded, rows in found.items():
        kept, highest, seconds = (statistics.median(column) for column in zip(*rows, strict=True))
        figures = {
            "sharding": "fsdp2" if is_sharded else "none",
            "workers": chosen.workers,
            "kept_mb": round(kept / 1e6, 1),
            "highest_mb": round(highest / 1e6, 1),
            "step_ms": round(1000 * seconds, 1),
        }
        print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    run(main)
