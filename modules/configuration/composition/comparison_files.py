"""Comparisons of recipes: the files of conf/comparison, checked against what tasks and evaluators give."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from modules.configuration.composition.key_locations import CONF, shown
from modules.configuration.errors import ConfigError
from modules.configuration.names import suggest
from modules.configuration.schema.comparison_settings import ComparisonSettings
from modules.configuration.schema.settings import read
from modules.configuration.static_analysis.class_attributes import (
    evaluator_charts,
    evaluator_metrics,
    validation_metrics,
)
from modules.configuration.yaml_files import read_yaml, to_yaml

Classes = Mapping[str, Sequence[str]]
"""By the name of every recipe, its task's class and its evaluators'."""


def comparison_files(names: Iterable[str], classes: Classes, conf: Path = CONF) -> dict[str, str]:
    """The text of each comparison's plan, by its path below build/plan.

    Args:
        names: of the files.
        classes: of every recipe.
        conf: the folder of configuration.

    Raises:
        UserError: naming the file and key at fault.
    """
    return {
        f"comparisons/{name}.yaml": to_yaml(asdict(comparison(conf / "comparison" / f"{name}.yaml", classes)))
        for name in names
    }


def comparison(path: Path, classes: Classes) -> ComparisonSettings:
    """A comparison, of conf/comparison or as it was planned, checked.

    Raises:
        UserError: naming the file and key at fault.
    """
    try:
        found = read(ComparisonSettings, read_yaml(path))
        if found.name != path.stem:
            raise ConfigError("name", f"{found.name!r} is not the file's", f"Write name: {path.stem}")
        _check(found, classes)
    except ConfigError as fault:
        raise fault.at(shown(path)) from None
    return found


def _check(found: ComparisonSettings, classes: Classes) -> None:
    """Refuses recipes that are not there, and charts, curves and metrics that one of them does not have."""
    for recipe in found.recipes:
        if recipe not in classes:
            raise ConfigError("recipes", f"there is no recipe {recipe!r}", suggest(recipe, classes))
        targets = classes[recipe]
        logged = [name for target in targets for name in validation_metrics(target)]
        charts = [name for target in targets for name in evaluator_charts(target)]
        measured = [name for target in targets for name in evaluator_metrics(target)]
        if found.chart is not None and found.chart not in charts:
            hint = suggest(found.chart, charts) or "Leave chart out"
            raise ConfigError("chart", f"no evaluator of {recipe} writes the chart {found.chart!r}", hint)
        if found.curve is not None and found.curve not in logged:
            hint = suggest(found.curve, logged) or "Leave curve out"
            raise ConfigError("curve", f"the task of {recipe} logs no {found.curve!r}", hint)
        for metric in found.metrics:
            if metric not in measured:
                said = f"no evaluator of {recipe} measures {metric!r}"
                raise ConfigError("metrics", said, suggest(metric, measured))
