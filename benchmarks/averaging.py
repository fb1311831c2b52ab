"""What it brings to average gradients while the backward pass goes on, by two processes of this machine.

python -m benchmarks.averaging

Two processes of one thread, joined by gloo on loopback, take steps on the same network. In turns, their
gradients are averaged after the backward pass (A) and during it (B), A B A B; both sides send the same
buckets. A step is forward, backward and average; the wait is what of it lies behind the backward pass. The
medians of the rounds are compared, as the first process sees them.
"""

import json
import multiprocessing
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn

from modules.configuration.command import arguments, run
from modules.models.convolutional.resnet import ResNet
from modules.training.gradient_average import GradientAverage


@dataclass(frozen=True)
class Arguments:
    """
    Args:
        rounds: turns of each side; one more warms up.
        steps: in a turn.
    """

    rounds: int = 7
    steps: int = 10


def networks() -> dict[str, tuple[nn.Module, Tensor]]:
    """Networks by name, each with a batch."""
    torch.manual_seed(0)
    wide = nn.Sequential(*(part for _ in range(8) for part in (nn.Linear(1024, 1024), nn.Tanh())))
    residual = ResNet((3, 32, 32), num_classes=10)
    return {
        "8 layers of 1024": (wide, torch.randn(64, 1024)),
        "ResNet": (residual, torch.randn(32, 3, 32, 32)),
    }


def _work(number: int, folder: Path, chosen: Arguments, answers: Any) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=number, world_size=2)
    for name, (net, batch) in networks().items():
        average = GradientAverage(net, list(net.parameters()))
        step_s: dict[bool, list[float]] = {False: [], True: []}
        wait_s: dict[bool, list[float]] = {False: [], True: []}
        for _ in range(chosen.rounds + 1):
            for during in (False, True):
                distributed.barrier()
                started_s, waited_s = time.perf_counter(), average.seconds
                for _ in range(chosen.steps):
                    net.zero_grad()
                    loss = net(batch).square().mean()
                    if during:
                        average.open()
                    loss.backward()
                    average()
                step_s[during].append((time.perf_counter() - started_s) / chosen.steps)
                wait_s[during].append((average.seconds - waited_s) / chosen.steps)
        after, during = (statistics.median(step_s[side][1:]) for side in (False, True))
        figures = {
            "network": name,
            "gradient_mb": round(average.num_bytes / 1e6, 1),
            "after_ms": round(1000 * after, 2),
            "during_ms": round(1000 * during, 2),
            "after_by_during": round(after / during, 3),
            "wait_after_ms": round(1000 * statistics.median(wait_s[False][1:]), 2),
            "wait_during_ms": round(1000 * statistics.median(wait_s[True][1:]), 2),
        }
        if number == 0:
            answers.put(figures)
    distributed.barrier()
    distributed.destroy_process_group()


def main(argv: list[str]) -> None:
    """Measures, and prints a line for each network."""
    chosen = arguments(argv, Arguments, __doc__ or "")
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    with tempfile.TemporaryDirectory() as folder:
        workers = [
            context.Process(target=_work, args=(number, Path(folder), chosen, answers)) for number in (0, 1)
        ]
        for worker in workers:
            worker.start()
        for _ in networks():
            print(json.dumps(answers.get()), flush=True)
        for worker in workers:
            worker.join()


if __name__ == "__main__":
    run(main)
