"""What transduction without alignment costs: losses over all alignments, and decoding.

python -m benchmarks.transduction

(a) Connectionist temporal classification: loss and gradient with respect to logits, beside torch's log
softmax and `ctc_loss`; and the largest error of either gradient, as a part of the largest element of one
that is computed in 64 bits. (b) The best path beside a beam search. Sides take turns of `CALLS` calls each,
and medians are compared; CPU time of one thread, as the machine may be busy.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from modules.bricks.ctc_loss import ctc_loss
from modules.configuration.command import arguments, run
from modules.generation.ctc_decoding import beam_search, best_path
from modules.training.runs.freed_memory import keep_freed_memory

CALLS = 5
SIZES = ((150, 32, 28, 28), (1000, 16, 28, 200), (5000, 4, 28, 600))
"""Frames, samples, labels, labels of a target."""


@dataclass(frozen=True)
class Arguments:
    """
    Args:
        rounds: turns of each side, after one that warms up.
    """

    rounds: int = 9


def losses(rounds: int) -> None:
    """Part (a)."""
    print("\n| frames, samples, labels, target | yard, ms | torch, ms | ratio | error | torch's |")
    print("|---|---:|---:|---:|---:|---:|")
    for size in SIZES:
        logits, *others = _batch(*size)
        ours, theirs = (_turn(loss, logits, others) for loss in (ctc_loss, _torchs))
        fast, slow = _medians(ours, theirs, rounds)
        exact = _gradient(_torchs, logits.double(), others)
        errors = [
            float((_gradient(loss, logits, others) - exact).abs().max() / exact.abs().max())
            for loss in (ctc_loss, _torchs)
        ]
        ratio = f"{1e3 * fast:.2f} | {1e3 * slow:.1f} | {slow / fast:.1f}"
        print(f"| {', '.join(map(str, size))} | {ratio} | {errors[0]:.0e} | {errors[1]:.0e} |", flush=True)


def decoding(rounds: int) -> None:
    """Part (b)."""
    print("\n| 150 frames, 28 labels | beam search, ms a sample | best path, ms a sample | ratio |")
    print("|---|---:|---:|---:|")
    logits, frames, *_ = _batch(*SIZES[0])
    for beam in (1, 10, 100):
        slow, fast = _medians(
            lambda beam=beam: beam_search(2 * logits[:4], frames[:4], beam),
            lambda: best_path(2 * logits[:4], frames[:4]),
            rounds,
        )
        print(f"| beam of {beam} | {250 * slow:.2f} | {250 * fast:.3f} | {slow / fast:.0f} |", flush=True)


def _batch(time: int, batch: int, num_labels: int, length: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    targets = torch.randint(1, num_labels, (batch, length))
    logits = torch.randn(batch, time, num_labels)
    return logits, torch.full((batch,), time), targets, torch.full((batch,), length)


def _torchs(logits: Tensor, frames: Tensor, targets: Tensor, target_lengths: Tensor) -> Tensor:
    log_probabilities = logits.log_softmax(2).transpose(0, 1)
    return functional.ctc_loss(log_probabilities, targets, frames, target_lengths, reduction="none")


def _gradient(loss: Callable[..., Tensor], logits: Tensor, others: list[Tensor]) -> Tensor:
    logits = logits.detach().requires_grad_()
    return torch.autograd.grad(loss(logits, *others).sum(), logits)[0]


def _turn(loss: Callable[..., Tensor], logits: Tensor, others: list[Tensor]) -> Callable[[], object]:
    return lambda: _gradient(loss, logits, others)


def _medians(first: Callable[[], object], second: Callable[[], object], rounds: int) -> tuple[float, float]:
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds + 1):
        for side, seconds in zip((first, second), taken, strict=True):
            started = time.process_time()
            for _ in range(CALLS):
                side()
            seconds.append((time.process_time() - started) / CALLS)
    return statistics.median(taken[0][1:]), statistics.median(taken[1][1:])


def main(argv: list[str]) -> None:
    """Measures both parts and prints tables in Markdown."""
    chosen = arguments(argv, Arguments, __doc__ or "")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    keep_freed_memory()
    losses(chosen.rounds)
    decoding(chosen.rounds)


if __name__ == "__main__":
    run(main)
