"""The page: one HTML file that needs nothing beside it, no network and no script."""

from collections.abc import Callable
from itertools import groupby
from typing import Any, TypeVar

from markupsafe import Markup

from modules.configuration.errors import UserError
from modules.report import charts, confusion, embedded_images, learning_curves, numbers, trade_off
from modules.report.comparisons import NO_COMPARISONS, Comparisons
from modules.report.exhibit_figures import exhibit_figure
from modules.report.gradient_norm_chart import gradient_norms
from modules.report.results import Evaluation, Recipe, Training
from modules.report.results_table import (
    one_metric,
    predict_command,
    score_heading,
    train_one,
    worth_columns,
)
from modules.report.sequence_forms import sequence_forms
from modules.report.studies import NO_STUDIES, Studies
from modules.report.templates import HERE, template

Prepared = TypeVar("Prepared")

# More recipes than this are shown folded.
MOST_OPEN = 6


def render(
    recipes: list[Recipe], studies: Studies = NO_STUDIES, comparisons: Comparisons = NO_COMPARISONS
) -> str:
    """The page as text: the same results always give the same bytes.

    Raises:
        UserError: if an image isn't an image.
    """
    trained = [recipe for recipe in recipes if recipe.training]
    others = [recipe for recipe in recipes if not recipe.training]
    datasets = [(title, list(some)) for title, some in groupby(trained, key=lambda recipe: recipe.dataset)]
    page = template(
        "page.html.jinja",
        count=numbers.count,
        score=numbers.score,
        percent=numbers.percent,
        duration=numbers.duration,
        spoken=numbers.spoken,
        heading=numbers.heading,
    )
    return page.render(
        style=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        recipes=trained,
        others=others,
        command_of_others=train_one(others[0]) if others else "",
        datasets=datasets,
        worth=[
            (heading, dict(zip([one.name for one in trained], cells, strict=True)))
            for heading, cells in worth_columns(trained)
        ],
        headline=headline(trained or recipes),
        score_heading=score_heading(trained),
        one_metric=one_metric(trained),
        last_trained=max((recipe.training.finished for recipe in trained if recipe.training), default=""),
        commits=sorted(
            {recipe.training.commit for recipe in trained if recipe.training and recipe.training.commit}
        ),
        charts=_trade_offs(datasets, trained),
        gradients=[(chart, charts.plot(chart)) for chart in gradient_norms(trained)],
        studies=[(study, charts.plot(study.chart, study.across, study.spreads)) for study in studies.plotted],
        waiting=studies.waiting,
        forms=sequence_forms(recipes),
        comparisons=[
            (one, charts.plot(one.chart, named=False) if one.chart else None) for one in comparisons.shown
        ],
        to_compare=comparisons.waiting,
        command_to_compare=comparisons.command,
        sections=[_section(recipe) for recipe in trained],
        unfolded=len(trained) <= MOST_OPEN,
    )


def _trade_offs(
    datasets: list[tuple[str, list[Recipe]]], recipes: list[Recipe]
) -> list[tuple[str, Markup, bool]]:
    """A chart for each dataset and metric that at least two recipes share, and whether it is crowded.

    Recipes of less than half the best score would press the others together: their names alone are given.
    Where smaller is better, all are plotted.
    """
    plotted = []
    for title, some in datasets:
        metrics = dict.fromkeys(recipe.metric for recipe in some)
        for metric in metrics:
            compared = [recipe for recipe in some if recipe.metric == metric and recipe.score is not None]
            larger = not any(recipe.smaller_is_better for recipe in compared)
            best = max((recipe.score or 0.0 for recipe in compared if larger), default=0.0)
            far = [recipe.name for recipe in compared if 0 < best / 2 > (recipe.score or 0.0)]
            compared = [recipe for recipe in compared if recipe.name not in far]
            if len(compared) > 1:
                name = title if len(metrics) == 1 else f"{title}: {numbers.spoken(metric)}"
                name += f"; far below, and not plotted: {', '.join(far)}" if far else ""
                chart = trade_off.trade_off(title, compared, recipes)
                plotted.append((name, chart, len(compared) > trade_off.FEW))
    return plotted


def headline(recipes: list[Recipe]) -> str:
    """What the page shows, in one sentence."""
    scored = [recipe for recipe in recipes if recipe.score is not None]
    reached, waiting = sum(bool(recipe.reached) for recipe in scored), len(recipes) - len(scored)
    if not scored:
        return f"{len(recipes)} {'recipe' if len(recipes) == 1 else 'recipes'}, none evaluated yet"
    kind = "evaluated recipe" if waiting else "recipe"
    if len(scored) == 1:
        sentence = f"The {kind} {'reaches' if reached else 'misses'} its expected score"
    elif reached == len(scored):
        sentence = f"All {len(scored)} {kind}s reach their expected score"
    else:
        sentence = (
            f"{reached or 'None'} of {len(scored)} {kind}s {'reaches its' if reached == 1 else 'reach their'}"
        )
        sentence += " expected score"
    return f"{sentence}; {waiting} still to come" if waiting else sentence


def _section(recipe: Recipe) -> dict[str, Any]:
    """Everything that the template shows of one recipe, plotted."""
    evaluation = recipe.evaluation
    curves = learning_curves.learning_curves(recipe)
    return {
        "recipe": recipe,
        "facts": _facts(recipe),
        "curves": curves,
        "curve_notes": learning_curves.curve_notes(curves),
        "phases": learning_curves.phase_curves(recipe),
        "predict": predict_command(recipe),
        "network": embedded_images.drawing_address(recipe.network) if recipe.network else "",
    } | (_evaluated(recipe, evaluation) if evaluation else {})


def _facts(recipe: Recipe) -> list[tuple[str, str]]:
    """What a recipe is and what it took, by name."""
    facts = [
        ("Data", recipe.dataset),
        ("Model", recipe.model),
        ("Parameters", numbers.count(recipe.num_parameters)),
        ("Multiply-adds", numbers.count(recipe.multiply_adds)),
    ]
    if training := recipe.training:
        facts += [
            ("Epochs", f"{training.epochs:g} ({numbers.count(training.steps)} steps)"),
            ("Training", numbers.duration(training.seconds_in_all)),
        ]
        facts += [
            (f"of it {name}", f"{numbers.duration(phase.seconds)}, {phase.epochs:g} epochs")
            for name, phase in training.phases.items()
        ]
        if training.samples_per_s is not None:
            facts.append(("Speed", f"{numbers.count(training.samples_per_s)} samples/s"))
        facts += worth_facts(training)
        facts += [
            (name, text) for name, text in (("CPU", training.cpu), ("Finished", training.finished)) if text
        ]
    if recipe.evaluation:
        facts.append(("Test", f"{numbers.count(recipe.evaluation.metrics['num_samples'])} samples"))
    return facts


def worth_facts(training: Training) -> list[tuple[str, str]]:
    """Of its own sessions, without its phases: how well time and device were used, and what that cost."""
    facts = []
    if training.goodput is not None:
        facts.append(("Goodput", f"{numbers.percent(training.goodput)} of the wall time in steps that count"))
    if training.mfu is not None:
        facts.append(("MFU", f"{numbers.percent(training.mfu)} of the device's measured peak"))
    for name, value in (("CPU-hours", training.cpu_hours), ("GPU-hours", training.gpu_hours)):
        if value:
            facts.append((name, numbers.hours(value)))
    if training.money is not None:
        facts.append(("Money", numbers.money(training.money)))
    return facts


def _evaluated(recipe: Recipe, evaluation: Evaluation) -> dict[str, Any]:
    filters = evaluation.filters
    return {
        "figures": [(name, value) for name, value in evaluation.metrics.items() if name != "num_samples"],
        "images": [(one, _image(recipe, embedded_images.shown, one.png)) for one in evaluation.images],
        "charts": [(chart, charts.plot(chart)) for chart in evaluation.charts],
        "exhibits": [exhibit_figure(one) for one in evaluation.exhibits],
        "matrix": confusion.matrix_rows(evaluation),
        "matrix_is_dense": len(evaluation.classes) > confusion.DENSE,
        "matrix_is_missing": len(evaluation.classes) > confusion.MOST_CLASSES,
        "confused": confusion.most_confused(evaluation),
        "class_accuracy": confusion.class_accuracy(evaluation, evaluation.metrics.get("accuracy")),
        "class_accuracy_title": "Accuracy by class"
        if len(evaluation.per_class) <= confusion.MOST_CLASSES
        else f"The {confusion.MOST_CLASSES} least accurate of {len(evaluation.per_class)} classes",
        "mistakes": [
            (mistake, _image(recipe, embedded_images.thumbnail, mistake.image))
            for mistake in evaluation.mistakes
        ],
        "filters": [] if filters is None else embedded_images.filter_images(filters),
        "filter_names": _filter_names(recipe),
        "signed_filters": filters is not None and filters.shape[1] != 3,
    }


def _image(recipe: Recipe, prepare: Callable[[bytes], Prepared], image: bytes) -> Prepared:
    try:
        return prepare(image)
    except ValueError as error:
        raise UserError(
            f"An image in build/evaluate/{recipe.name} is {error}",
            f"Delete the folder, then: dvc repro evaluate@{recipe.name}",
        ) from error


def _filter_names(recipe: Recipe) -> list[str]:
    """Class names, where the first layer is also the last: one image of weights for each class."""
    evaluation = recipe.evaluation
    if evaluation is None or evaluation.filters is None:
        return []
    num_filters, *shape = evaluation.filters.shape
    single = recipe.num_parameters in (evaluation.filters.size, evaluation.filters.size + num_filters)
    return evaluation.classes if single and num_filters == len(evaluation.classes) and shape else []
