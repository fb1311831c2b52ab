"""A folder to submit from: the small dataset, and commands in processes of their own."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from tests.commands import Command, run

SMALL = [
    "data=fashion_mnist",
    "data.samples_per_record=50",
    "trainer.batch_size=16",
    "trainer.block_steps=4",
    "trainer.checkpoint_every_steps=8",
    "trainer.log_every_steps=5",
    "runtime.num_threads=1",
    "runtime.accelerator=cpu",
]


def start(folder: Path, *arguments: str, **variables: str) -> Command:
    """`python -m pipelines.submit` in the background."""
    return Command("pipelines.submit", *arguments, folder=folder, variables=variables)


def submit(folder: Path, *arguments: str, **variables: str) -> tuple[int, str, str]:
    """`python -m pipelines.submit`: exit status, stdout, stderr."""
    return run("pipelines.submit", *arguments, folder=folder, variables=variables)


def wait(condition: Callable[[], bool], what: str, timeout_s: float = 200) -> None:
    """Fails if something does not come true in time."""
    until_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until_s, f"{what} did not come within {timeout_s} s"
        time.sleep(0.2)


def alive(pid: int) -> bool:
    """Whether a process is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
