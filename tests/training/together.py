"""Trainings by several processes of this machine, without a cluster."""

import io
import multiprocessing
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback
from rich.console import Console
from torch import distributed

from modules.training.run import train
from modules.training.run_folder import RunFolder


def train_together(
    plan: dict[str, Any], shards: Path, folder: Path, num_workers: int, callbacks: tuple[Callback, ...] = ()
) -> list[int]:
    """Trains a plan in a folder.

    Returns:
        The exit status of each process: 0, or 1 with a traceback in `<folder>/error<rank>`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    meeting = folder / "meeting"
    meeting.unlink(missing_ok=True)
    context = multiprocessing.get_context("fork")
    processes = [
        context.Process(target=_work, args=(plan, shards, folder, rank, num_workers, meeting, callbacks))
        for rank in range(num_workers)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [process.exitcode if process.exitcode is not None else -1 for process in processes]


def _work(
    plan: dict[str, Any],
    shards: Path,
    folder: Path,
    rank: int,
    num_workers: int,
    meeting: Path,
    callbacks: tuple[Callback, ...],
) -> None:
    torch.set_num_threads(1)
    try:
        if num_workers > 1:
            distributed.init_process_group(
                "gloo", init_method=f"file://{meeting}", rank=rank, world_size=num_workers
            )
        train(plan, "0" * 64, shards, RunFolder(folder), Console(file=io.StringIO()), callbacks)
    except BaseException:
        (folder / f"error{rank}").write_text(traceback.format_exc())
        os._exit(1)
    sys.stdout.flush()
    os._exit(0)
