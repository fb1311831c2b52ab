"""How much gradient reaches each layer, at the beginning and at the end, of the recipes that logged it.

The curves are those of `modules.training.monitoring.gradient_norms`: `train/gradient_norm/<layer>`, the
lowest first.
"""

from modules.evaluation.findings import Chart, Series
from modules.report.results import Recipe

CURVE = "train/gradient_norm/"
CAPTION = (
    "Mean norm of the gradient of each layer's weights in an epoch, from the layer that sees the input to "
    "the one that answers. Where it vanishes, nothing is learned."
)


def gradient_norms(recipes: list[Recipe]) -> list[Chart]:
    """A chart of the first epoch and one of the last, a line for each recipe that logged any norms."""
    charts = []
    for epoch in ("first", "last"):
        series = [
            Series(recipe.name, points)
            for recipe in recipes
            if (points := _means(recipe, last=epoch == "last"))
        ]
        if series:
            title = f"{epoch.capitalize()} epoch"
            chart = Chart(
                f"gradient_norms_{epoch}", title, CAPTION, "lines", "layer", "norm", series, log_y=True
            )
            charts.append(chart)
    return charts


def _means(recipe: Recipe, last: bool) -> list[tuple[float, float]]:
    """Each layer's number, from 1, and the mean of its curve over one epoch."""
    if recipe.training is None or not recipe.training.epochs:
        return []
    steps_per_epoch = recipe.training.steps / recipe.training.epochs
    points = []
    for name, curve in recipe.training.history.items():
        if name.startswith(CURVE):
            begin = recipe.training.steps - steps_per_epoch if last else 0.0
            norms = [norm for step, norm in curve if begin < step <= begin + steps_per_epoch]
            if norms:
                points.append((len(points) + 1.0, sum(norms) / len(norms)))
    return points
