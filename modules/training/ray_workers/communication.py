"""What working together costs, as curves and figures: seconds of a step, of its averaging, and bytes."""

import time
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from torch import distributed

from modules.training.data_parallel import DataParallelStrategy
from modules.training.monitoring.curves import Curves
from modules.training.training_step import TrainingModule


class Communication(Callback):
    """Measures what working together costs, and keeps buffers such as running means equal between blocks.

    Args:
        strategy: whose averages are measured.
        curves: where the points go.
        every_steps: steps that one point is the mean of.
    """

    def __init__(self, strategy: DataParallelStrategy, curves: Curves, every_steps: int) -> None:
        self.strategy = strategy
        self.curves = curves
        self.every_steps = every_steps
        self._first_step = self._last_step = 0
        self._seconds = self._last_seconds = 0.0
        self._last_averaging_s: float | None = 0.0
        self._block_started_s = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._first_step = self._last_step = trainer.global_step

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._block_started_s = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, TrainingModule)
        for buffer in pl_module.task.model.buffers():
            distributed.broadcast(buffer, src=0)
        self._seconds += time.perf_counter() - self._block_started_s
        step = trainer.global_step
        if step // self.every_steps == self._last_step // self.every_steps:
            return
        num_steps, averaging_s = step - self._last_step, self.strategy.averaging_seconds
        points = {
            "train/seconds_per_step": (self._seconds - self._last_seconds) / num_steps,
            "communication/gradient_bytes_per_step": self.strategy.bytes_per_step,
        }
        if averaging_s is not None and self._last_averaging_s is not None:
            points["communication/seconds_per_step"] = (averaging_s - self._last_averaging_s) / num_steps
        for name, value in points.items():
            self.curves.add(name, value, step)
        self._last_step, self._last_seconds, self._last_averaging_s = step, self._seconds, averaging_s

    def figures(self, trainer: Trainer) -> dict[str, float]:
        """Means over this session."""
        num_steps = max(1, trainer.global_step - self._first_step)
        averaging_s = self.strategy.averaging_seconds
        return {
            "seconds_per_step": self._seconds / num_steps,
            **({} if averaging_s is None else {"communication_seconds_per_step": averaging_s / num_steps}),
            "gradient_bytes_per_step": self.strategy.bytes_per_step,
        }
