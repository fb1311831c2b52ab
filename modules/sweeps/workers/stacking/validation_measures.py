"""What validation measures of several tasks, each batch read once."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from modules.metrics.mean import Mean, add_up
from modules.tasks.task import Task


@torch.no_grad()
def measured(tasks: Sequence[Task], batches: Iterable[dict[str, Tensor]]) -> list[dict[str, float]]:
    """The figures of each task over the batches, as in a training of its own.

    Args:
        tasks: in training mode, and afterwards so again.
        batches: of the validation split.
    """
    for task in tasks:
        task.eval()
        task.start_validation()
    means: list[dict[str, Mean]] = [{} for _ in tasks]
    for batch in batches:
        for task, own in zip(tasks, means, strict=True):
            add_up(own, task.validate(batch))
    figures = []
    for task, own in zip(tasks, means, strict=True):
        figures.append({name: mean.value for name, mean in own.items()} | task.finish_validation())
        task.train()
    return figures
