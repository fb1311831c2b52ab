"""A worker whose training stops."""

import time
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer


class Hang(Callback):
    """The last worker's training stops at a step, once."""

    def __init__(self, folder: Path, step: int) -> None:
        self.folder, self.step = folder, step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        hung = self.folder / "hung"
        if trainer.global_step >= self.step and trainer.global_rank == 1 and not hung.exists():
            hung.touch()
            time.sleep(1000)
