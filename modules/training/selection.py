"""Which epoch is the best, which epochs' weights are kept, and when a training is no longer getting better.

Judged by one validation curve, `trainer.monitor`, after each epoch. Whatever is decided here is decided alike
in every process and again in a training that is gone on with: what it hangs on is in the checkpoint.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from modules.configuration.errors import UserError
from modules.configuration.plans.run_plan import Plan
from modules.configuration.schema.trainer_settings import EarlyStoppingSettings, KeepSettings
from modules.training.data_parallel import rank
from modules.training.monitoring.curves import Curves
from modules.training.runs.checkpoint import save_tensors


@dataclass(frozen=True)
class Selection:
    """What watches a training's epochs; either may be missing.

    Attributes:
        keep: keeps the weights of some epochs.
        stop: ends it early.
    """

    keep: "KeepWeights | None"
    stop: "StopEarly | None"

    @property
    def callbacks(self) -> list[Callback]:
        return [one for one in (self.keep, self.stop) if one is not None]

    def figures(self) -> dict[str, Any]:
        """For the run's summary: `best`, the best epoch with what it was told by; `kept`, all that were kept;
        `stopped_early`."""
        best, kept = (self.keep.best, self.keep.kept) if self.keep is not None else (None, [])
        return {
            **({"best": best} if best else {}),
            **({"kept": kept} if kept else {}),
            **({"stopped_early": self.stop.stopped} if self.stop is not None else {}),
        }


def selection_of(
    plan: Plan,
    folder: Path,
    curves: Curves | None,
    weights: Callable[[], dict[str, Tensor]],
    check: Callable[[Trainer], None],
) -> Selection:
    """What watches the epochs of a plan's training.

    Args:
        plan: of the run.
        folder: of its checkpoints.
        curves: where validation is recorded; None where there is none.
        weights: gives what would be kept now.
        check: raises where the weights are not worth keeping.

    Raises:
        UserError: something hangs on validation, and the dataset has no split for it.
    """
    settings, monitor = plan.trainer, None
    if settings.monitors:
        if curves is None:
            key = "early_stopping" if settings.early_stopping is not None else "keep.best"
            raise UserError(
                f"trainer.{key} hangs on validation, and {plan.dataset} has no validation split",
                "Give the dataset one, or take the key out",
            )
        monitor = Monitor(*plan.monitored, curves)
    keep = stop = None
    if settings.keep.best or settings.keep.every_epochs is not None:
        keep = KeepWeights(folder, settings.keep, monitor if settings.keep.best else None, weights, check)
    if settings.early_stopping is not None and monitor is not None:
        stop = StopEarly(settings.early_stopping, monitor)
    return Selection(keep, stop)


@dataclass(frozen=True)
class Monitor:
    """A validation curve that trainings are judged by.

    Attributes:
        metric: its name.
        mode: "max" or "min", whichever is better.
        curves: where it is recorded.
    """

    metric: str
    mode: str
    curves: Curves

    def value(self, step: int) -> float:
        """What was measured after a step; NaN where nothing was."""
        points = self.curves.history.get(self.metric)
        return points[-1][1] if points and points[-1][0] == step else math.nan

    def is_better(self, value: float, than: float | None, min_delta: float = 0.0) -> bool:
        """Whether a value is better than another by more than `min_delta`; NaN is better than none."""
        if math.isnan(value) or than is None:
            return not math.isnan(value)
        return value > than + min_delta if self.mode == "max" else value < than - min_delta


def kept_weights(folder: Path, epoch: int) -> Path:
    """The file of an epoch's weights in the folder of a run's checkpoints; epochs count from 1."""
    return folder / f"epoch_{epoch}.pt"


class KeepWeights(Callback):
    """Writes the weights of the best epochs, and of every so many, as `epoch_<number>.pt`.

    Of equally good epochs the earlier is the better.

    Args:
        folder: that takes them, beside the checkpoints.
        settings: how many.
        monitor: tells the best; needed where any of them is kept.
        weights: gives what would be kept now.
        check: raises where the weights are not worth keeping.
    """

    def __init__(
        self,
        folder: Path,
        settings: KeepSettings,
        monitor: Monitor | None,
        weights: Callable[[], dict[str, Tensor]],
        check: Callable[[Trainer], None],
    ) -> None:
        self.folder, self.settings, self.monitor = folder, settings, monitor
        self._weights, self._check = weights, check
        self._best: list[dict[str, Any]] = []
        self._regular: list[dict[str, int]] = []

    @property
    def best(self) -> dict[str, Any] | None:
        """Of the best epoch so far: epoch (from 1), step, metric, value; None before there is one."""
        return {**self._best[0], "metric": self.monitor.metric} if self._best and self.monitor else None

    @property
    def kept(self) -> list[dict[str, Any]]:
        """Of each epoch whose weights are kept: epoch, step."""
        found = {one["epoch"]: one["step"] for one in [*self._regular, *self._best]}
        return [{"epoch": epoch, "step": step} for epoch, step in sorted(found.items())]

    def file(self, epoch: int) -> Path:
        return kept_weights(self.folder, epoch)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        epoch, step = trainer.current_epoch + 1, trainer.global_step
        dropped = self._rank_epoch(epoch, step)
        is_best = any(one["epoch"] == epoch for one in self._best)
        if self._is_regular(epoch):
            self._regular.append({"epoch": epoch, "step": step})
        if is_best or self._is_regular(epoch):
            self._check(trainer)
            weights = self._weights()  # all workers give their shards
            if rank() == 0:
                save_tensors(weights, self.file(epoch))
        for one in dropped:
            if rank() == 0 and not self._is_regular(one["epoch"]):
                self.file(one["epoch"]).unlink(missing_ok=True)

    def _rank_epoch(self, epoch: int, step: int) -> list[dict[str, Any]]:
        """Puts an epoch in its place among the best; returns those that are not among them any more."""
        if self.monitor is None:
            return []
        value = self.monitor.value(step)
        place = next(
            (n for n, one in enumerate(self._best) if self.monitor.is_better(value, one["value"])),
            len(self._best),
        )
        if self.monitor.is_better(value, None):
            self._best.insert(place, {"epoch": epoch, "step": step, "value": value})
        self._best, dropped = self._best[: self.settings.best], self._best[self.settings.best :]
        return [one for one in dropped if one["epoch"] != epoch]

    def _is_regular(self, epoch: int) -> bool:
        every = self.settings.every_epochs
        return every is not None and epoch % every == 0

    def state_dict(self) -> dict[str, Any]:
        return {
            "best": [dict(one) for one in self._best],
            "regular": [dict(one) for one in self._regular],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        found = [
            {"epoch": int(one["epoch"]), "step": int(one["step"]), "value": float(one["value"])}
            for one in state_dict["best"]
        ]
        regular = [{key: int(one[key]) for key in ("epoch", "step")} for one in state_dict["regular"]]
        # Another trial's checkpoint, taken over in a sweep, comes without its files.
        self._best = [one for one in found if self.file(one["epoch"]).is_file()]
        self._regular = [one for one in regular if self.file(one["epoch"]).is_file()]


class StopEarly(Callback):
    """Ends a training after so many epochs in a row that were not better than the best before them.

    Prechelt 1998, *Early stopping - but when?*, in Neural Networks: Tricks of the Trade; criterion UP with
    strips of one epoch, counted from the best.

    Args:
        settings: patience, and by how much better is better.
        monitor: tells what is better.

    Attributes:
        stopped: whether it has ended the training.
    """

    def __init__(self, settings: EarlyStoppingSettings, monitor: Monitor) -> None:
        self.settings, self.monitor = settings, monitor
        self.stopped = False
        self._best: float | None = None
        self._num_waited = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.stopped:  # in an earlier session, which did not come to writing its results
            trainer.should_stop = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        value = self.monitor.value(trainer.global_step)
        if self.monitor.is_better(value, self._best, self.settings.min_delta):
            self._best, self._num_waited = value, 0
            return
        self._num_waited += 1
        if self._num_waited >= self.settings.patience:
            self.stopped = trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        return {"best": self._best, "num_waited": self._num_waited, "stopped": self.stopped}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        best = state_dict["best"]
        self._best = None if best is None else float(best)
        self._num_waited, self.stopped = int(state_dict["num_waited"]), bool(state_dict["stopped"])
