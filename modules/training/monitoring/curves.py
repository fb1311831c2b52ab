"""Learning curves: what is measured while training, kept beside the checkpoint and sent to the tracker.

The losses of a block stay on the device until its end and come over in one transfer; there they are also
checked, so that a training that has diverged stops before its weights reach a checkpoint.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import Logger

from modules.configuration.errors import UserError
from modules.training.data_parallel import mean_over_workers
from modules.training.sharding.whole_tensors import everywhere, local_of
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
        names: what the steps are called, one after another and again from the first: the names' loss and
            rate are curves of their own.
    """

    def __init__(
        self,
        curves: Curves,
        every_steps: int,
        learning_rate: Callable[[int], float],
        names: Sequence[str] = ("train",),
    ) -> None:
        self.curves = curves
        self.every_steps = every_steps
        self.learning_rate = learning_rate
        self.names = names
        self._sums: dict[str, list[float]] = {}

    def add(self, losses: list[float], last_step: int, weights: list[float] | None = None) -> None:
        """Takes in the losses of the steps that end with `last_step`, counted from 1.

        Args:
            losses: of the steps.
            last_step: the number of the last.
            weights: of each in the mean; None = they are alike.

        Raises:
            UserError: a loss is not a finite number, or that of nothing.
        """
        given = zip(losses, weights or [1.0] * len(losses), strict=True)
        for step, (loss, weight) in enumerate(given, last_step - len(losses) + 1):
            name = self.names[(step - 1) % len(self.names)]
            if weight == 0:
                raise UserError(
                    f"{self._loss_of(name)} at step {step} is the mean of no values",
                    "Look at what the batch's masks and lengths keep",
                )
            if not math.isfinite(loss):
                raise diverged(step, f"{self._loss_of(name)} is {loss}", self.learning_rate(step - 1))
            total, number = self._sums.get(name, (0.0, 0.0))
            self._sums[name] = [total + loss * weight, number + weight]
            if step % self.every_steps == 0:
                self._write(step, min(len(self.names), self.every_steps))

    def finish(self, last_step: int) -> None:
        """Writes the mean of the steps after the last point, at the training's end."""
        if self._sums:
            self._write(last_step, len(self.names))

    def _write(self, step: int, num_names: int) -> None:
        for back in range(num_names):
            name = self.names[(step - 1 - back) % len(self.names)]
            if name in self._sums:
                total, count = self._sums.pop(name)
                self.curves.add(f"{name}/loss", total / count, step)
                self.curves.add(f"{name}/learning_rate", self.learning_rate(step - 1 - back), step)

    def _loss_of(self, name: str) -> str:
        return "the loss" if len(self.names) == 1 else f"the loss of {name.rpartition('/')[2]}"

    def state_dict(self) -> dict[str, Any]:
        history = {name: [list(point) for point in points] for name, points in self.curves.history.items()}
        return {"history": history, "sums": dict(self._sums)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, points in state["history"].items():
            if not isinstance(name, str) or not all(map(_is_point, points)):
                raise ValueError(f"{name} is no curve")
        if not all(len(pair) == 2 for pair in state["sums"].values()):
            raise ValueError("a sum of losses has no count")
        self.curves.history = state["history"]
        self._sums = dict(state["sums"])


def _is_point(point: Any) -> bool:
    """Whether this is [step, value]."""
    return (
        isinstance(point, list)
        and [type(part) for part in point[:1]] == [int]
        and len(point) == 2
        and isinstance(point[1], int | float)
    )


class LossCurve(Callback):
    """Records the mean loss and the learning rate every so many steps, and stops a training that diverges.

    Args:
        module: what is trained.
        curves: where the points go.
        every_steps: steps that one point is the mean of.
    """

    def __init__(self, module: TrainingModule, curves: Curves, every_steps: int) -> None:
        self.module = module
        self.means = MeanLosses(curves, every_steps, module.learning_rate, module.curve_names)
        self._waiting: list[torch.Tensor] = []
        self._waiting_counts: list[int | torch.Tensor] = []
        self._num_waiting = 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        losses = outputs["loss"].reshape(-1)
        self._waiting.append(losses)
        self._waiting_counts += outputs["count"]
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
        weights = _weights(self._waiting_counts)
        self._waiting, self._waiting_counts, self._num_waiting = [], [], 0
        self.means.add(losses, trainer.global_step, weights)

    def check_weights(self, trainer: Trainer) -> None:
        """Before a checkpoint: the loss of the last step says nothing about the weights that this step made.

        Raises:
            UserError: a loss or a weight is not a finite number.
        """
        self.take_in(trainer)
        weights = list(self.module.parameters())
        norm = torch.nn.utils.get_total_norm(map(local_of, weights))
        if not everywhere(bool(norm.isfinite()), weights):
            step = trainer.global_step
            raise diverged(step, "a weight is not a finite number", self.module.learning_rate(step - 1))

    def state_dict(self) -> dict[str, Any]:
        return self.means.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.means.load_state_dict(state_dict)


def _weights(counts: list[int | torch.Tensor]) -> list[float]:
    """Counts that depend on what a batch holds; a number is the same for every batch, and counts as 1."""
    if all(isinstance(count, int) for count in counts):
        return [1.0] * len(counts)
    device = next(count.device for count in counts if isinstance(count, torch.Tensor))
    return torch.stack(
        [torch.as_tensor(1.0 if isinstance(one, int) else one, device=device).float() for one in counts]
    ).tolist()


def diverged(step: int, what: str, learning_rate: float) -> UserError:
    """The one line for a training that has left the finite numbers."""
    return UserError(
        f"the training diverged: {what} at step {step}, learning rate {learning_rate:.3g}",
        "Lower optimizer.lr, for example to a third of what it is, or set trainer.gradient_clip_norm=1.0",
    )
