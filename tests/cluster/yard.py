"""A folder to submit from: the small dataset, and commands in processes of their own."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.pipelines.yard import environment

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


def start(folder: Path, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    """`python -m pipelines.submit` in the background."""
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines.submit", *arguments],
        cwd=folder,
        env={**environment(), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def submit(folder: Path, *arguments: str, **variables: str) -> tuple[int, str, str]:
    """`python -m pipelines.submit`: exit status, stdout, stderr."""
    process = start(folder, *arguments, **variables)
    out, err = process.communicate(timeout=280)
    return process.returncode, out, err


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
