"""How long a training waits for a checkpoint: written while it waits, or behind its back.

OMP_NUM_THREADS=1 python -m benchmarks.checkpoints

The state is that of a network under AdamW after its first step. In turns, it is written before training goes
on (A) and by a thread that copies and writes it (B), A B A B; both sides leave the same file and keep the one
before. B waits before its next optimiser step for what is left of the copy, which is counted. Between two
saves each side takes steps until the file is there, and the times of these steps, with a write behind them
and without, are compared as well. Medians over the rounds.
"""

import json
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from modules.configuration.command import arguments, run
from modules.training.runs.checkpoint import AtomicCheckpointIO, changed_by
from modules.training.runs.checkpoint_writer import CheckpointWriter


@dataclass(frozen=True)
class Arguments:
    """
    Args:
        rounds: turns of each side; one more warms up.
        layers: of 1024 to 1024; each has 12.6 MB of state.
        samples: of a batch.
    """

    rounds: int = 9
    layers: int = 8
    samples: int = 64


def main(argv: list[str]) -> None:
    """Measures, and prints a line."""
    chosen = arguments(argv, Arguments, __doc__ or "")
    torch.manual_seed(0)
    torch.set_num_threads(1)
    network = nn.Sequential(
        *(part for _ in range(chosen.layers) for part in (nn.Linear(1024, 1024), nn.Tanh()))
    )
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    batch = torch.randn(chosen.samples, 1024)

    writer = CheckpointWriter()
    disk = AtomicCheckpointIO(writer)
    waited_s = 0.0

    def wait_for_copy(*step: Any) -> None:
        nonlocal waited_s
        waited_s += writer.wait_for_copy()

    optimizer.register_step_pre_hook(wait_for_copy)

    def step() -> None:
        optimizer.zero_grad()
        network(batch).square().mean().backward()
        optimizer.step()

    step()
    disk.later = list(changed_by(optimizer))
    blocked_s: dict[bool, list[float]] = {False: [], True: []}
    step_s: dict[bool, list[float]] = {False: [], True: []}
    with tempfile.TemporaryDirectory(dir=".") as folder:
        path = Path(folder) / "last.ckpt"
        for _ in range(chosen.rounds + 1):
            for behind in (False, True):
                content: dict[str, Any] = {
                    "state_dict": network.state_dict(),
                    "optimizer_states": [optimizer.state_dict()],
                }
                started_s = time.perf_counter()
                disk.save_checkpoint(content, path)
                if not behind:
                    writer.wait()
                saving_s, waited_s = time.perf_counter() - started_s, 0.0
                started_s, num_steps = time.perf_counter(), 0
                while num_steps < 3 or writer.is_writing:
                    step()
                    num_steps += 1
                step_s[behind].append((time.perf_counter() - started_s - waited_s) / num_steps)
                blocked_s[behind].append(saving_s + waited_s)
                writer.wait()
        size_mb = path.stat().st_size / 1e6
    figures = {
        "state_mb": round(size_mb, 1),
        **{f"waits_{name}_ms": _milliseconds(blocked_s[side]) for name, side in _SIDES.items()},
        **{f"step_{name}_ms": _milliseconds(step_s[side]) for name, side in _SIDES.items()},
    }
    print(json.dumps(figures))


_SIDES = {"written_at_once": False, "written_behind": True}


def _milliseconds(seconds: list[float]) -> float:
    return round(1000 * statistics.median(seconds[1:]), 2)


if __name__ == "__main__":
    run(main)
