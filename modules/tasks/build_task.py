"""The one place that builds a task: a configuration's model inside its learning problem."""

from typing import Any

from modules.configuration.static_analysis.targets import build
from modules.tasks.task import Task


def build_task(model: dict[str, Any], task: dict[str, Any]) -> Task:
    """The task with its model, on torch's default device, with weights that the global generator gives.

    Args:
        model: node of the configuration's `model`.
        task: node of its `task`.

    Raises:
        UserError: a target may not be built, or refuses its keywords.
    """
    return build(task, model=build(model))
