"""The page: one HTML file that needs nothing beside it, no network and no script."""

from itertools import groupby
from typing import Any

from markupsafe import Markup

from modules.configuration.errors import UserError
from modules.report import confusion, learning_curves, numbers, pictures, trade_off
from modules.report.results import Recipe
from modules.report.table import score_heading
from modules.report.templates import HERE, template

# More recipes than this are shown folded.
MOST_OPEN = 6


def render(recipes: list[Recipe]) -> str:
    """The page as text: the same recipes always give the same bytes.

    Raises:
        UserError: if a picture of a mistake isn't a picture.
    """
    datasets = [(title, list(some)) for title, some in groupby(recipes, key=lambda recipe: recipe.dataset)]
    trainings = [recipe.training for recipe in recipes if recipe.training]
    page = template(
        "page.html.jinja",
        count=numbers.count,
        score=numbers.score,
        percent=numbers.percent,
        duration=numbers.duration,
    )
    return page.render(
        style=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        recipes=recipes,
        datasets=datasets,
        headline=headline(recipes),
        score_heading=score_heading(recipes),
        last_trained=max((training.finished for training in trainings), default=""),
        commits=sorted({training.commit for training in trainings if training.commit}),
        charts=[
            (title, trade_off.trade_off(title, some, recipes), len(some) > trade_off.FEW)
            for title, some in datasets
            if any(recipe.score is not None for recipe in some)
        ],
        sections=[_section(recipe) for recipe in recipes],
        unfolded=len(recipes) <= MOST_OPEN,
    )


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
    """Everything that the template shows of one recipe, drawn."""
    evaluation = recipe.evaluation
    return {
        "recipe": recipe,
        "loss_curves": learning_curves.loss_curves(recipe),
        "score_curve": learning_curves.score_curve(recipe),
        "network": pictures.drawing_address(recipe.network) if recipe.network else "",
        "matrix": confusion.matrix_rows(evaluation) if evaluation else None,
        "confused": confusion.most_confused(evaluation) if evaluation else [],
        "class_accuracy": confusion.class_accuracy(evaluation, recipe.score) if evaluation else None,
        "mistakes": [(mistake, _thumbnail(recipe, mistake.picture)) for mistake in evaluation.mistakes]
        if evaluation
        else [],
        "filters": pictures.filter_pictures(evaluation.filters)
        if evaluation and evaluation.filters is not None
        else [],
        "filter_names": _filter_names(recipe),
        "signed_filters": evaluation and evaluation.filters is not None and evaluation.filters.shape[1] != 3,
    }


def _thumbnail(recipe: Recipe, picture: bytes) -> str:
    try:
        return pictures.thumbnail(picture)
    except ValueError as error:
        raise UserError(
            f"A picture in build/evaluate/{recipe.name} is {error}",
            "Delete the folder, then: dvc repro report",
        ) from error


def _filter_names(recipe: Recipe) -> list[str]:
    """Class names, where the first layer is also the last: one picture of weights for each class."""
    evaluation = recipe.evaluation
    if evaluation is None or evaluation.filters is None:
        return []
    num_filters, *shape = evaluation.filters.shape
    single = recipe.num_parameters in (evaluation.filters.size, evaluation.filters.size + num_filters)
    return evaluation.classes if single and num_filters == len(evaluation.classes) and shape else []
