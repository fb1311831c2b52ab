"""Measures a trained task by the module that it names: `evaluate(task, data, settings, plan) -> Findings`.

A module of this package serves one learning problem. Its `evaluate` gets the task in evaluation mode with its
trained weights, the dataset with all its splits, the dataset's settings and the recipe's plan.
"""

import math
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from modules.configuration.errors import UserError
from modules.configuration.plans.run_plan import Plan
from modules.evaluation.findings import Findings

if TYPE_CHECKING:
    from modules.configuration.schema.data_settings import DataSettings
    from modules.datamodules.shard_set import ShardSet
    from modules.tasks.task import Task


def evaluate(task: "Task", data: "ShardSet", settings: "DataSettings", plan: Plan) -> Findings:
    """What there is to find on the test split.

    Raises:
        UserError: a figure is no number, or the split cannot be evaluated.
    """
    findings = import_module(task.evaluator).evaluate(task.eval(), data, settings, plan)
    for name, value in findings.metrics.items():
        if not math.isfinite(value):
            raise UserError(
                f"{name} on the test split is {value}, no number",
                "The weights are of no use: try a smaller lr.",
            )
    return findings


def expected_score(metrics: Mapping[str, float], plan: Plan) -> float:
    """The figure that the recipe is judged by; larger is better.

    Raises:
        UserError: it was not measured.
    """
    metric = plan.expected.metric
    if metric not in metrics:
        raise UserError(
            f"expected.metric={metric} is not among the evaluation's figures",
            f"There is: {', '.join(sorted(metrics))}.",
        )
    return metrics[metric]
