"""What a task logs in validation, averaged as Lightning averages it, without Lightning's loops."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from modules.tasks.task import Task


class Measures:
    """Takes the place of a task's `log`.

    Args:
        task: whose validation is measured.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._sums: dict[str, Tensor] = {}
        self._weights: dict[str, int] = {}
        self._metrics: dict[str, Metric] = {}
        vars(task)["log"] = self._log

    def validate(self, number: int, batch: dict[str, Tensor]) -> None:
        """Measures one batch of the validation split."""
        self._task.eval()
        with torch.no_grad():
            self._task.validation_step(batch, number)
        self._task.train()

    def take(self) -> dict[str, float]:
        """The means of all batches since the last call."""
        values = {name: total / self._weights[name] for name, total in self._sums.items()}
        values |= {name: metric.compute() for name, metric in self._metrics.items()}
        for metric in self._metrics.values():
            metric.reset()
        self._sums, self._weights, self._metrics = {}, {}, {}
        return {name: value.item() for name, value in values.items()}

    def _log(
        self, name: str, value: Tensor | Metric, *, on_epoch: bool, batch_size: int, sync_dist: bool = False
    ) -> None:
        # A stack is one process: there is nothing to synchronise.
        if self._task.training or not on_epoch:
            raise NotImplementedError(f"a stack takes {name} from the end of a validation alone")
        if isinstance(value, Metric):
            self._metrics[name] = value
            return
        zero = torch.zeros(())
        self._sums[name] = self._sums.get(name, zero) + value.detach() * batch_size
        self._weights[name] = self._weights.get(name, 0) + batch_size


def measured(measures: Iterable[Measures], batches: Iterable[dict[str, Tensor]]) -> list[dict[str, float]]:
    """Validates several members, each batch read once."""
    members: list[Any] = list(measures)
    for number, batch in enumerate(batches):
        for member in members:
            member.validate(number, batch)
    return [member.take() for member in members]
