"""What a person sees while training: a bar on a terminal, one line for each epoch elsewhere."""

import math
import time
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from modules.training.monitoring.curves import Curves

# Drawing takes milliseconds of the training's own thread.
_REDRAW_EVERY_S = 0.5


class ProgressDisplay(Callback):
    """Shows epoch, step, loss, samples per second and the time left; counts the seconds spent over all
    sessions.

    Args:
        console: where to show it.
        curves: whose last values are shown.
        batch_size: samples in one optimiser step.
        num_steps: optimiser steps of the whole training.
    """

    def __init__(self, console: Console, curves: Curves, batch_size: int, num_steps: int) -> None:
        self.console = console
        self.curves = curves
        self.batch_size = batch_size
        self.num_steps = num_steps
        self._first_step: int | None = None
        self._seconds_before = 0.0
        self._started_s = time.perf_counter()
        self._drawn_s = 0.0
        self._bar: Progress | None = None
        self._bar_id = TaskID(0)

    @property
    def seconds(self) -> float:
        """Spent in this session."""
        return time.perf_counter() - self._started_s

    @property
    def seconds_total(self) -> float:
        """Spent in all sessions that led here."""
        return self._seconds_before + self.seconds

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._first_step = trainer.global_step
        self._started_s = time.perf_counter()
        if self._first_step:
            self.console.print(
                f"going on at step {self._first_step} of {self.num_steps}", highlight=False, soft_wrap=True
            )
        if self.console.is_terminal:
            self._bar = bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[loss]}  {task.fields[speed]}"),
                TimeRemainingColumn(),
                console=self.console,
                auto_refresh=False,
                transient=True,
            )
            self._bar_id = bar.add_task(
                "epoch", total=self.num_steps, completed=self._first_step, loss="", speed=""
            )
            bar.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._bar is None or time.perf_counter() - self._drawn_s < _REDRAW_EVERY_S:
            return
        self._drawn_s = time.perf_counter()
        self._bar.update(
            self._bar_id,
            completed=trainer.global_step,
            description=f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}",
            loss="  ".join(f"{name} {self._last(name):.4f}" for name in self._losses()) or "loss nan",
            speed=f"{self.samples_per_s(trainer):,.0f} samples/s",
        )
        self._bar.refresh()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        parts = [f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}", f"step {trainer.global_step}"]
        parts += [
            f"{name} {self._last(name):.4f}"
            for name in [
                *self._losses(),
                *sorted(name for name in self.curves.history if name.startswith("validation/")),
            ]
        ]
        parts.append(f"{self.samples_per_s(trainer):,.0f} samples/s")
        self.console.print("  ".join(parts), highlight=False, soft_wrap=True)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._close()

    def samples_per_s(self, trainer: Trainer) -> float:
        """Samples trained on in this session, over its seconds (validation and checkpoints included)."""
        if self._first_step is None:  # there was nothing left to train
            return 0.0
        return (trainer.global_step - self._first_step) * self.batch_size / max(self.seconds, 1e-9)

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds_total}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._seconds_before = state_dict["seconds"]

    def _losses(self) -> list[str]:
        """The curves of the training's losses: one, or one for each step of the task."""
        return [name for name in self.curves.history if name.startswith("train/") and name.endswith("/loss")]

    def _last(self, name: str) -> float:
        points = self.curves.history.get(name)
        return points[-1][1] if points else math.nan

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
