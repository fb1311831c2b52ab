"""Two sides that take turns, A B A B, so that a busy machine is busy for both."""

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from modules.metrics.mean import Mean


def medians_in_turn(first: Callable[[], int], second: Callable[[], int], rounds: int) -> tuple[float, float]:
    """Median samples a second of two readers.

    Args:
        first: reads, and returns how many samples.
        second: likewise.
        rounds: that count; one before them warms up: it verifies hashes and fills the page cache.
    """
    speeds: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds + 1):
        for reader, measured in zip((first, second), speeds, strict=True):
            start = time.perf_counter()
            num_samples = reader()
            measured.append(num_samples / (time.perf_counter() - start))
    return statistics.median(speeds[0][1:]), statistics.median(speeds[1][1:])


def cpu_seconds_in_turn(
    first: Callable[[], object], second: Callable[[], object], rounds: int, calls: int = 1
) -> tuple[float, float]:
    """Median seconds of CPU time that a call of each of two sides takes.

    Args:
        first: one side.
        second: the other.
        rounds: turns of each that count, after one that warms up.
        calls: in a turn.
    """
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds + 1):
        for side, seconds in zip((first, second), taken, strict=True):
            started = time.process_time()
            for _ in range(calls):
                side()
            seconds.append((time.process_time() - started) / calls)
    return statistics.median(taken[0][1:]), statistics.median(taken[1][1:])


def training_step(
    net: nn.Module, loss: Callable[[dict[str, Tensor]], Mean], batch: dict[str, Tensor]
) -> Callable[[], object]:
    """One side: a step of AdamW on one batch.

    Args:
        net: that learns.
        loss: of a batch.
        batch: the same in every step.
    """
    optimizer = torch.optim.AdamW(net.parameters())

    def step() -> None:
        optimizer.zero_grad()
        loss(batch).quotient.backward()
        optimizer.step()

    return step
