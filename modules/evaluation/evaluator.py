"""Measures a trained task by the evaluators that the recipe's `evaluation` lists.

An evaluator is a class of this package: what it measures and which direction is better stand in `metrics`,
readable without torch, and `evaluate` gives the figures and what the report shows. A recipe may list several;
their findings are put together.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

from modules.configuration.errors import UserError
from modules.configuration.plans.run_plan import Plan
from modules.configuration.static_analysis.targets import build
from modules.evaluation.findings import Findings

if TYPE_CHECKING:
    from modules.datamodules.shard_set import ShardSet
    from modules.datamodules.vocabulary import Vocabulary
    from modules.tasks.task import Task

FindTrainedModel = Callable[[str, str], "tuple[Task, Mapping[str, Vocabulary]]"]
"""From what a recipe calls a trained model, and the keyword there, to the model and its vocabularies."""


class Evaluator(Protocol):
    """Measures one thing about a trained task.

    Attributes:
        metrics: figures that a recipe may be judged by, and whether larger or smaller is better. `evaluate`
            may give others too, and may leave out what the data or the task have nothing for.
        charts: names of the charts that `evaluate` may give, which comparisons of recipes may overlay.
    """

    metrics: ClassVar[dict[str, Literal["max", "min"]]]
    charts: ClassVar[tuple[str, ...]] = ()

    def evaluate(self, task: Any, data: "ShardSet", plan: Plan) -> Findings:
        """What there is to find.

        Args:
            task: in evaluation mode, with its trained weights.
            data: with all its splits, described by `plan.data`.
            plan: the recipe's.

        Raises:
            UserError: the test split cannot be evaluated.
        """
        ...


@runtime_checkable
class AsksTrainedModel(Protocol):
    """An evaluator that measures with another trained model beside the task, where the recipe names one.

    Attributes:
        asks: the keyword, and attribute, that names it; its value is None where it measures without.
    """

    asks: ClassVar[str]

    def take(self, task: "Task", vocabularies: "Mapping[str, Vocabulary]") -> None:
        """Keeps the model of that name, in evaluation mode, and the vocabularies of its texts."""
        ...


def evaluate(
    task: "Task", data: "ShardSet", plan: Plan, find_trained_model: FindTrainedModel | None = None
) -> Findings:
    """What all evaluators of a plan find on the test split; `num_samples` is its size if none says otherwise.

    Args:
        task: with its trained weights.
        data: with all its splits.
        plan: the recipe's.
        find_trained_model: finds those that evaluators ask.

    Raises:
        UserError: a figure is no number, two evaluators give one of the same name, or one cannot be built.
    """
    found = []
    for node in plan.evaluation:
        evaluator: Evaluator = build(node)
        asked = getattr(evaluator, evaluator.asks) if isinstance(evaluator, AsksTrainedModel) else None
        if isinstance(evaluator, AsksTrainedModel) and asked is not None:
            if find_trained_model is None:
                raise ValueError(f"nobody finds {evaluator.asks}={asked}")
            evaluator.take(*find_trained_model(asked, evaluator.asks))
        found.append((node["_target_"], evaluator.evaluate(task.eval(), data, plan)))
    merged = merge(found)
    for name, value in merged.metrics.items():
        if not math.isfinite(value):
            raise UserError(
                f"{name} on the test split is {value}, no number",
                "The weights are of no use: try a smaller lr.",
            )
    merged.metrics.setdefault("num_samples", data.split("test").num_samples)
    return merged


def merge(found: Sequence[tuple[str, Findings]]) -> Findings:
    """The findings of several evaluators as one.

    Args:
        found: each with its evaluator's class, in the report's order.

    Raises:
        UserError: two give a figure of the same name, or two things to show whose files have the same name.
    """
    owners: dict[tuple[str, str], str] = {}
    for evaluator, findings in found:
        named = [("figure", name) for name in findings.metrics]
        named += [("image", image.name) for image in findings.images]
        named += [("chart", chart.name) for chart in findings.charts]
        named += [("exhibit", exhibit.name) for exhibit in findings.exhibits]
        for kind, name in named:
            if (kind, name) in owners:
                raise UserError(
                    f"{owners[kind, name]} and {evaluator} both give the {kind} {name}",
                    "Leave one out of evaluation",
                )
            owners[kind, name] = evaluator
    parts = [findings for _, findings in found]
    return Findings(
        metrics={name: value for one in parts for name, value in one.metrics.items()},
        images=[image for one in parts for image in one.images],
        charts=[chart for one in parts for chart in one.charts],
        exhibits=[exhibit for one in parts for exhibit in one.exhibits],
        details=[details for one in parts for details in one.details],
    )


def expected_score(metrics: Mapping[str, float], plan: Plan) -> float:
    """The figure that the recipe is judged by.

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
