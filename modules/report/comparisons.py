"""Comparisons of conf/comparison: recipes beside each other in a table, one line of each in one chart."""

from dataclasses import dataclass, replace
from pathlib import Path

from modules.configuration.composition.comparison_files import comparison
from modules.configuration.schema.comparison_settings import ComparisonSettings
from modules.configuration.static_analysis.class_attributes import evaluator_metrics
from modules.evaluation.findings import Chart, Series
from modules.report import numbers
from modules.report.results import Recipe
from modules.report.results_table import train_one


@dataclass(frozen=True)
class Cell:
    """A figure of one recipe.

    Attributes:
        value: None before it is measured.
        text: as the table shows it.
        best: whether it is better than another recipe's, and none is better than it.
    """

    value: float | None
    text: str
    best: bool


@dataclass(frozen=True)
class Comparison:
    """Recipes, of which at least one is evaluated, ready to be shown.

    Attributes:
        settings: as they were planned.
        rows: every recipe in order, with a cell for each metric, and what is expected of it.
        chart: a series of each recipe, in the same order, without points where it has none; None without any.
        waiting: recipes that are not evaluated.
        without_chart: names of those that are, but lack the chart or the curve.
    """

    settings: ComparisonSettings
    rows: list[tuple[Recipe, list[Cell], str]]
    chart: Chart | None
    waiting: list[Recipe]
    without_chart: list[str]

    @property
    def judged_by(self) -> str:
        """The metric of what is expected; empty where recipes differ in it."""
        metrics = {recipe.metric for recipe, *_ in self.rows}
        return metrics.pop() if len(metrics) == 1 else ""

    @property
    def command(self) -> str:
        """Brings the first recipe that waits into the report; empty where none does."""
        return train_one(self.waiting[0]) if self.waiting else ""


@dataclass(frozen=True)
class Comparisons:
    """All that were planned.

    Attributes:
        shown: those with an evaluated recipe.
        waiting: name and recipes of the others.
    """

    shown: list[Comparison]
    waiting: list[tuple[str, list[Recipe]]]

    @property
    def command(self) -> str:
        """Brings a recipe of the first that waits into the report; empty where none does."""
        return train_one(self.waiting[0][1][0]) if self.waiting else ""


NO_COMPARISONS = Comparisons([], [])


def read_comparisons(build: Path, recipes: list[Recipe]) -> Comparisons:
    """Every planned comparison of the recipes that were read.

    Raises:
        UserError: one names a recipe that is not planned, or what its evaluators do not give.
    """
    found, by_name = Comparisons([], []), {recipe.name: recipe for recipe in recipes}
    classes = {
        name: [str(recipe.plan["task"]["_target_"]), *recipe.evaluators] for name, recipe in by_name.items()
    }
    for path in sorted((build / "plan" / "comparisons").glob("*.yaml")):
        settings = comparison(path, classes)
        compared = [by_name[name] for name in settings.recipes]
        if any(recipe.evaluation for recipe in compared):
            found.shown.append(compare(settings, compared))
        else:
            found.waiting.append((settings.title, compared))
    return found


def compare(settings: ComparisonSettings, recipes: list[Recipe]) -> Comparison:
    """Puts recipes beside each other."""
    columns = [_column(metric, recipes) for metric in settings.metrics]
    expected = numbers.column([recipe.expected for recipe in recipes])
    charts = [_own_chart(settings, recipe) or _own_curve(settings, recipe) for recipe in recipes]
    first = next((chart for chart in charts if chart is not None), None)
    series = [
        Series(recipe.name, [] if chart is None else chart.series[0].points)
        for recipe, chart in zip(recipes, charts, strict=True)
    ]
    return Comparison(
        settings=settings,
        rows=[
            (recipe, [column[place] for column in columns], expected[place])
            for place, recipe in enumerate(recipes)
        ],
        chart=None if first is None else replace(first, series=series),
        waiting=[recipe for recipe in recipes if recipe.evaluation is None],
        without_chart=[
            recipe.name
            for recipe, chart in zip(recipes, charts, strict=True)
            if (settings.chart or settings.curve) and recipe.evaluation and chart is None
        ],
    )


def _column(metric: str, recipes: list[Recipe]) -> list[Cell]:
    """A metric of each recipe; the best is marked where there is more than one figure."""
    values = [recipe.evaluation.metrics.get(metric) if recipe.evaluation else None for recipe in recipes]
    modes = [evaluator_metrics(target).get(metric) for recipe in recipes for target in recipe.evaluators]
    known = [value for value in values if value is not None]
    best = (min if "min" in modes else max)(known) if len(set(known)) > 1 else None
    texts = numbers.column(values)
    return [
        Cell(value, text, value is not None and value == best)
        for value, text in zip(values, texts, strict=True)
    ]


def _own_chart(settings: ComparisonSettings, recipe: Recipe) -> Chart | None:
    """The chart of a recipe's evaluation with the series that is compared alone, where it has points."""
    charts = recipe.evaluation.charts if recipe.evaluation else []
    for chart in charts:
        if chart.name == settings.chart:
            some = [one for one in chart.series if settings.series in (None, one.name)]
            return replace(chart, series=some[:1]) if some and some[0].points else None
    return None


def _own_curve(settings: ComparisonSettings, recipe: Recipe) -> Chart | None:
    """What the recipe's training logged in validation."""
    training = recipe.training
    if training is None or settings.curve is None or not training.steps:
        return None
    epochs_per_step = training.epochs / training.steps
    points = [(step * epochs_per_step, value) for step, value in training.history.get(settings.curve, [])]
    if not points:
        return None
    spoken, title = numbers.spoken(settings.curve), numbers.heading(settings.curve)
    caption = "On the validation split, in the course of training."
    return Chart(settings.curve, title, caption, "lines", "epochs", spoken, [Series(recipe.name, points)])
