"""What reading from a mirror costs: seconds that training waited for data, and bytes fetched, as curves."""

from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from modules.datamodules.shard_loader import TrainingLoader
from modules.training.monitoring.curves import Curves


class DataWaits(Callback):
    """Measures how long training waits for its data.

    Args:
        loader: of the training split.
        every_steps: steps that one point is the mean of.
    """

    def __init__(self, loader: TrainingLoader, every_steps: int) -> None:
        self.loader = loader
        self.every_steps = every_steps
        self._last_step = 0
        self._last_waited_s = 0.0
        self._last_bytes = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._last_step = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step
        if step // self.every_steps > self._last_step // self.every_steps:
            self._write(trainer, step)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.global_step > self._last_step:
            self._write(trainer, trainer.global_step)

    def figures(self) -> dict[str, float]:
        """Of this session."""
        return {"seconds_waited": self.loader.seconds_waited, "bytes_fetched": self.loader.bytes_fetched}

    def _write(self, trainer: Trainer, step: int) -> None:
        assert isinstance(trainer.logger, Curves)
        waited_s, num_bytes, num_steps = (
            self.loader.seconds_waited,
            self.loader.bytes_fetched,
            step - self._last_step,
        )
        trainer.logger.add("data/seconds_waited_per_step", (waited_s - self._last_waited_s) / num_steps, step)
        trainer.logger.add("data/bytes_fetched_per_step", (num_bytes - self._last_bytes) / num_steps, step)
        self._last_step, self._last_waited_s, self._last_bytes = step, waited_s, num_bytes
