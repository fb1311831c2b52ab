"""Learning curves: what is measured while training, kept beside the checkpoint and sent to the tracker.

The losses of a block stay on the device until its end and come over in one transfer; there they are also
checked, so that a training that has diverged stops before its weights reach a checkpoint.
"""

import math
from collections.abc import Callable
from typing import Any, Protocol

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import Logger

from modules.configuration.errors import UserError
from modules.training.data_parallel import mean_over_workers
from modules.training.training_step import TrainingModule


class MetricSink(Protocol):
    """Where points go besides the history; the tracker is one."""

    def metric(self, name: str, value: float, step: int) -> None: ...

    def flush(self) -> None: ...


class Curves(Logger):
    """All learning curves of a run: Lightning's logger.

    Args:
        sink: gets every point as well; None = the history alone.
        step: the number of optimiser steps taken (Lightning itself would count blocks).
    """

    def __init__(self, sink: MetricSink | None, step: Callable[[], int]) -> None:
        super().__init__()
        self.history: dict[str, list[list[float]]] = {}
        self.sink = sink
        self.step = step

    @property
    def name(self) -> str:
        return "curves"

    @property
    def version(self) -> int:
        return 0

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing: the resolved configuration is an artefact of the run."""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        for name, value in metrics.items():
            if name != "epoch":
                self.add(name, value, self.step())

    def add(self, name: str, value: float, step: int) -> None:
        """Appends a point; one of the same step replaces the last."""
        points = self.history.setdefault(name, [])
        if points and points[-1][0] == step:
            points.pop()
        points.append([step, value])
        if self.sink is not None:
            self.sink.metric(name, value, step)

    def flush(self) -> None:
        """Before a checkpoint: a resumed run does not repeat the points that lie before it."""
        if self.sink is not None:
            self.sink.flush()


class MeanLosses:
    """Points of the training's loss and learning rate, each a mean over so many steps.

    Args:
        curves: where the points go.
        every_steps: steps that one point is the mean of.
        learning_rate: the rate of a step, counted from 0.
    """

    def __init__(self, curves: Curves, every_steps: int, learning_rate: Callable[[int], float]) -> None:
        self.curves = curves
        self.every_steps = every_steps
        self.learning_rate = learning_rate
        self._sum = 0.0
        self._count = 0.0

    def add(self, losses: list[float], last_step: int, counts: list[float] | None = None) -> None:
        """Takes in the losses of the steps that end with `last_step`, counted from 1.

        Args:
            losses: of the steps.
            last_step: the number of the last.
            counts: what each loss is the mean of; None = they are alike.

        Raises:
            UserError: a loss is not a finite number, or that of nothing.
        """
        weights = counts or [1.0] * len(losses)
        for step, (loss, count) in enumerate(zip(losses, weights, strict=True), last_step - len(losses) + 1):
            if count == 0:
                raise UserError(
                    f"the loss at step {step} is the mean of no values",
                    "Look at what the batch's masks and lengths keep",
                )
            if not math.isfinite(loss):
                raise diverged(step, f"the loss is {loss}", self.learning_rate(step - 1))
            self._sum += loss * count
            self._count += count
            if step % self.every_steps == 0:
                self.curves.add("train/loss", self._sum / self._count, step)
                self.curves.add("train/learning_rate", self.learning_rate(step - 1), step)
                self._sum, self._count = 0.0, 0.0

    def state_dict(self) -> dict[str, Any]:
        history = {name: [list(point) for point in points] for name, points in self.curves.history.items()}
        return {"history": history, "sum": self._sum, "count": self._count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.curves.history = state["history"]
        self._sum, self._count = state["sum"], state["count"]


class LossCurve(Callback):
    """Records the mean loss and the learning rate every so many steps, and stops a training that diverges.

    Args:
        module: what is trained.
        curves: where the points go.
        every_steps: steps that one point is the mean of.
    """

    def __init__(self, module: TrainingModule, curves: Curves, every_steps: int) -> None:
        self.module = module
        self.means = MeanLosses(curves, every_steps, module.learning_rate)
        self._waiting: list[torch.Tensor] = []
        self._waiting_counts: list[torch.Tensor] = []
        self._num_waiting = 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        losses = outputs["loss"].reshape(-1)
        self._waiting.append(losses)
        if "count" in outputs:
            self._waiting_counts.append(outputs["count"])
        self._num_waiting += len(losses)
        # A block of one step is not worth a transfer of its own.
        if (
            len(losses) > 1
            or self._num_waiting >= self.means.every_steps
            or batch_idx + 1 == trainer.num_training_batches
        ):
            self.take_in(trainer)

    def take_in(self, trainer: Trainer) -> None:
        """Brings the waiting losses over from the device.

        Raises:
            UserError: a loss is not a finite number.
        """
        if not self._waiting:
            return
        losses = mean_over_workers(torch.cat(self._waiting)).tolist()
        counts = torch.cat(self._waiting_counts).tolist() if self._waiting_counts else None
        self._waiting, self._waiting_counts, self._num_waiting = [], [], 0
        self.means.add(losses, trainer.global_step, counts)

    def check_weights(self, trainer: Trainer) -> None:
        """Before a checkpoint: the loss of the last step says nothing about the weights that this step made.

        Raises:
            UserError: a loss or a weight is not a finite number.
        """
        self.take_in(trainer)
        if not torch.nn.utils.get_total_norm(self.module.parameters()).isfinite():
            step = trainer.global_step
            raise diverged(step, "a weight is not a finite number", self.module.learning_rate(step - 1))

    def state_dict(self) -> dict[str, Any]:
        return self.means.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.means.load_state_dict(state_dict)


def diverged(step: int, what: str, learning_rate: float) -> UserError:
    """The one line for a training that has left the finite numbers."""
    return UserError(
        f"the training diverged: {what} at step {step}, learning rate {learning_rate:.3g}",
        "Lower optimizer.lr, for example to a third of what it is, or set trainer.gradient_clip_norm=1.0",
    )
