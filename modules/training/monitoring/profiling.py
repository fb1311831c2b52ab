"""Profiles of a training: Lightning's seconds by action, or torch's operations of some blocks of steps."""

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.profilers import Profiler, SimpleProfiler
from torch.profiler import ProfilerActivity, profile, schedule

from modules.configuration.schema.trainer_settings import ProfilerSettings
from modules.training.data_parallel import rank

TABLE, TRACE = "operations.txt", "trace.json"
_NUM_ROWS = 40


def lightning_profiler(settings: ProfilerSettings | None, folder: Path) -> Profiler | None:
    """What Lightning's Trainer is profiled by; None where it is not.

    Args:
        settings: of the plan.
        folder: that takes the table, `fit-simple.txt`.
    """
    if settings is None or settings.kind != "simple":
        return None
    folder.mkdir(parents=True, exist_ok=True)
    return SimpleProfiler(dirpath=folder, filename="simple")


class OperationProfile(Callback):
    """Records the operations of some blocks of steps, on the CPU and on GPUs.

    Args:
        settings: how many blocks.
        folder: that takes `operations.txt` and `trace.json`, with the process's number where several train.
    """

    def __init__(self, settings: ProfilerSettings, folder: Path) -> None:
        self.settings, self.folder = settings, folder
        self._profile: profile | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        activities = [ProfilerActivity.CPU]
        if torch.cuda.is_available():
            activities.append(ProfilerActivity.CUDA)
        skipped = self.settings.num_skipped_blocks
        self._profile = profile(
            activities=activities,
            schedule=schedule(
                wait=max(0, skipped - 1), warmup=min(1, skipped), active=self.settings.num_blocks, repeat=1
            ),
            on_trace_ready=self._write,
            acc_events=True,
        )
        self._profile.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._profile is not None:
            self._profile.step()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._profile is not None:
            self._profile.stop()
            self._profile = None

    def _write(self, recorded: profile) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        prefix = f"rank{rank()}-" if rank() else ""
        by = "self_cuda_time_total" if torch.cuda.is_available() else "self_cpu_time_total"
        table = recorded.key_averages().table(sort_by=by, row_limit=_NUM_ROWS)
        (self.folder / f"{prefix}{TABLE}").write_text(table, encoding="utf-8")
        recorded.export_chrome_trace(str(self.folder / f"{prefix}{TRACE}"))
