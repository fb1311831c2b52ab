"""Where a training's wall time goes, measured at the ends of blocks (Lightning's batches) and of epochs.

Every moment belongs to one part (`modules.training.runs.sessions.PARTS`), so that the parts add up to the
wall: the clock is read at hooks, and what lies between two of them goes to the part between them, less what
loader, checkpoints and averages have measured themselves. On a GPU a block's steps count as done when their
losses are on the host; with `trainer.block_steps=1` that is every `trainer.log_every_steps` steps.
"""

import time
from typing import Any, Protocol

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from modules.training.data_parallel import DataParallelStrategy
from modules.training.runs.checkpoint import CheckpointSaver
from modules.training.runs.sessions import PARTS, Session
from modules.training.short_way import needs_closure

_WRITE_EVERY_S = 0.5
_WRITE_EVERY_SHARE = 0.01  # of a session's time: a week leaves a thousand lines


class WaitsForData(Protocol):
    """A loader that counts how long it was waited for."""

    seconds_waited: float


class WallTime(Callback):
    """Tells a session what has been spent.

    Args:
        session: gets it now and then.
        loader: of the training split.

    Attributes:
        one_pass_a_step: whether a step is one forward and one backward pass of the whole model; None before
            the training.
        device: that trains.
    """

    def __init__(self, session: Session, loader: WaitsForData) -> None:
        self.one_pass_a_step: bool | None = None
        self.device = torch.device("cpu")
        self._session = session
        self._loader = loader
        self._saver: CheckpointSaver | None = None
        self._strategy: DataParallelStrategy | None = None
        self._seconds = dict.fromkeys(PARTS, 0.0) | {"start_up": session.seconds_before}
        self._waited_s, self._saved_s = loader.seconds_waited, 0.0
        self._step = 0
        self._marked_s = self._began_s = self._written_s = time.perf_counter()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        callbacks: list[Callback] = trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
        self._saver = next((one for one in callbacks if isinstance(one, CheckpointSaver)), None)
        self._strategy = trainer.strategy if isinstance(trainer.strategy, DataParallelStrategy) else None
        self.device = trainer.strategy.root_device
        module: Any = pl_module
        one_turn = len(module.turns) == 1
        self.one_pass_a_step = one_turn and not any(needs_closure(one) for one in trainer.optimizers)
        self._mark("start_up")
        self._write(trainer.global_step)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._mark("other")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._mark("steps")
        self._step = trainer.global_step
        since_s = self._marked_s - self._began_s
        if self._marked_s - self._written_s >= max(_WRITE_EVERY_S, _WRITE_EVERY_SHARE * since_s):
            self._write(self._step)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._mark("other")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._mark("validation")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._mark("checkpoints")  # weights of epochs that are kept were written before

    def end(self) -> None:
        """Writes down all until now."""
        self._mark("start_up" if self.one_pass_a_step is None else "other")
        self._write(self._step)

    def _mark(self, part: str) -> None:
        """Gives the time since the last mark to a part, but for what others have measured of it."""
        now_s, waited_s = time.perf_counter(), self._loader.seconds_waited
        saved_s = self._saver.seconds if self._saver is not None else 0.0
        elsewhere_s = (waited_s - self._waited_s) + (saved_s - self._saved_s)
        self._seconds["data"] += waited_s - self._waited_s
        self._seconds["checkpoints"] += saved_s - self._saved_s
        self._seconds[part] += now_s - self._marked_s - elsewhere_s
        self._marked_s, self._waited_s, self._saved_s = now_s, waited_s, saved_s

    def _write(self, step: int) -> None:
        self._step = step
        # Shards are gathered in the midst of the steps, where it cannot be told apart.
        averaged_s = (self._strategy.averaging_seconds if self._strategy is not None else None) or 0.0
        steps_s = max(0.0, self._seconds["steps"] - averaged_s)
        seconds = {part: max(0.0, spent) for part, spent in self._seconds.items()}
        seconds |= {"steps": steps_s, "communication": self._seconds["steps"] - steps_s}
        self._session.spent(step, seconds)
        self._written_s = time.perf_counter()
