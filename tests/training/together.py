"""Trainings by several processes of this machine, without a cluster, and what each of them saw."""

import hashlib
import io
import json
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from rich.console import Console
from torch import Tensor, distributed

from modules.configuration.plans.run_plan import Plan
from modules.training.data_parallel import rank
from modules.training.runs.checkpoint import CheckpointSaver
from modules.training.runs.interruption import Interrupted
from modules.training.runs.run import train
from modules.training.runs.run_folder import RunFolder


class Recorder(Callback):
    """Writes down what a worker trains on and what comes of it, a line for each block.

    Args:
        folder: gets `rank<number>.jsonl`.
        stop: (rank, step) at which this worker alone is asked to stop.
    """

    def __init__(self, folder: Path, stop: tuple[int, int] | None = None) -> None:
        self.folder = folder
        self.stop = stop

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        images = batch["image"].flatten(end_dim=1)
        weights = torch.cat([value.detach().flatten() for value in pl_module.state_dict().values()])
        line = {
            "epoch": trainer.current_epoch,
            "step": trainer.global_step,
            "samples": [digest(image) for image in images],
            "weights": digest(weights),
            "sampled": float(torch.rand(())),
        }
        with (self.folder / f"rank{rank()}.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        saver = trainer.checkpoint_callback
        if self.stop is not None and self.stop[0] == rank() and trainer.global_step >= self.stop[1]:
            assert isinstance(saver, CheckpointSaver)
            saver.interruption.request(Interrupted(signal.SIGTERM))


class StopAt(Callback):
    """Asks to stop, as a signal would, at the end of the block with a step.

    Args:
        step: counted from 1.
    """

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        saver = trainer.checkpoint_callback
        if trainer.global_step >= self.step:
            assert isinstance(saver, CheckpointSaver)
            saver.interruption.request(Interrupted(signal.SIGTERM))


def recorded(folder: Path, rank: int) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"rank{rank}.jsonl").read_text().splitlines()]


def digest(tensor: Tensor) -> str:
    return hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()[:16]


def train_together(
    plan: Plan, shards: Path, folder: Path, num_workers: int, callbacks: Sequence[Callback] = ()
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
        context.Process(target=_work, args=(plan, shards, folder, number, num_workers, meeting, callbacks))
        for number in range(num_workers)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [process.exitcode if process.exitcode is not None else -1 for process in processes]


def shown_together(folder: Path, num_workers: int) -> str:
    """What the processes failed with."""
    files = [folder / f"error{number}" for number in range(num_workers)]
    return "".join(file.read_text() for file in files if file.exists())


def _work(
    plan: Plan,
    shards: Path,
    folder: Path,
    number: int,
    num_workers: int,
    meeting: Path,
    callbacks: Sequence[Callback],
) -> None:
    torch.set_num_threads(1)
    try:
        if num_workers > 1:
            distributed.init_process_group(
                "gloo", init_method=f"file://{meeting}", rank=number, world_size=num_workers
            )
        train(plan, "0" * 64, shards, RunFolder(folder), Console(file=io.StringIO()), callbacks)
    except BaseException:
        (folder / f"error{number}").write_text(traceback.format_exc())
        os._exit(1)
    sys.stdout.flush()
    os._exit(0)
