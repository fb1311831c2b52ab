"""Learning curves: what was logged in training and in validation, by epochs."""

import math
import re
from dataclasses import dataclass, replace

from markupsafe import Markup

from modules.evaluation.findings import Chart, Series
from modules.report import numbers
from modules.report.axes import axes, end_labels
from modules.report.charts import plot
from modules.report.results import Curve, Recipe
from modules.report.svg import Scale, element, figure, path

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 336, 200, 38, 96, 22, 36
# More points than this are averaged in groups: a line can't show more on this width.
MOST_POINTS = 250
MOST_CHARTS = 6


@dataclass(frozen=True)
class Line:
    """One curve, called training or validation, as its class is."""

    kind: str
    points: Curve


# What a curve of this name does that a reader might take for a fault.
NOTES = {
    "log_likelihood": "The log-likelihood is an estimate, and may fall while the layer goes on learning: "
    "contrastive divergence follows its gradient only roughly, since a few Gibbs steps lead less and less "
    "far from the data as the weights grow. What the layer is worth is said by its reconstructions, or by "
    "the score of the training that begins with its weights.",
}


@dataclass(frozen=True)
class PhaseCurves:
    """What was logged while a phase was trained: charts by quantity, and what is to be known of them."""

    name: str
    curves: list[tuple[str, Markup]]
    notes: list[str]


def phase_curves(recipe: Recipe) -> list[PhaseCurves]:
    """The charts of each phase that was trained before, in their order; those without any are left out."""
    found = []
    for name, phase in recipe.training.phases.items() if recipe.training else ():
        of_phase = replace(recipe, name=f"{recipe.name}.{name}", training=phase)
        if curves := learning_curves(of_phase):
            found.append(PhaseCurves(name, curves, curve_notes(curves)))
    return found


def curve_notes(curves: list[tuple[str, Markup]]) -> list[str]:
    """What is to be known of the quantities of some charts."""
    return [NOTES[quantity] for quantity, _ in curves if quantity in NOTES]


def learning_curves(recipe: Recipe) -> list[tuple[str, Markup]]:
    """A chart of each quantity that was logged: the loss, what is expected, others."""
    history = recipe.training.history if recipe.training else {}
    logged = [name.partition("/")[2] for name in history if name.startswith("validation/")]
    # Of a task of several steps, the loss of each.
    losses = [name.removeprefix("train/") for name in history if re.fullmatch(r"train/\w+/loss", name)]
    together = _by_kind(logged)
    alone = [name for name in ["loss", recipe.metric, *logged, *losses] if _kind(name) not in together]
    charts = [(kind, _of_several(recipe, kind, names)) for kind, names in together.items()]
    charts += [(quantity, quantity_curves(recipe, quantity)) for quantity in dict.fromkeys(alone)]
    return [(quantity, chart) for quantity, chart in charts[:MOST_CHARTS] if chart]


def _kind(quantity: str) -> str:
    """What is left of a quantity's name without whose it is: error_bits of bob_error_bits."""
    return quantity.partition("_")[2]


def _by_kind(quantities: list[str]) -> dict[str, list[str]]:
    """Quantities of several that are of one kind and unit, by the kind: those belong into one chart."""
    kinds = [_kind(name) for name in quantities if "_" in _kind(name)]
    return {
        kind: [name for name in quantities if _kind(name) == kind] for kind in kinds if kinds.count(kind) > 1
    }


def _of_several(recipe: Recipe, kind: str, quantities: list[str]) -> Markup | None:
    """Quantities of one kind on the validation split against steps, such as the errors of adversaries."""
    series = [
        Series(name.removesuffix(f"_{kind}"), list(_curve(recipe, "validation", name))) for name in quantities
    ]
    title = numbers.spoken(kind)
    return plot(Chart(kind, title, "", "lines", "steps", title, series))


def quantity_curves(recipe: Recipe, quantity: str) -> Markup | None:
    """A quantity in training and validation against epochs, on a logarithmic scale where it falls far.

    With what is expected on the test split, where that is the quantity.
    """
    lines = [
        Line("training", _curve(recipe, "train", quantity)),
        Line("validation", _curve(recipe, "validation", quantity)),
    ]
    return _chart(recipe, quantity, lines, expected=recipe.expected if quantity == recipe.metric else None)


def _curve(recipe: Recipe, split: str, metric: str) -> Curve:
    points = recipe.training.history.get(f"{split}/{metric}", []) if recipe.training else []
    points = [(step, value) for step, value in points if math.isfinite(value)]
    group = math.ceil(len(points) / MOST_POINTS)
    if group <= 1:
        return points
    groups = [points[index : index + group] for index in range(0, len(points), group)]
    return [
        (sum(step for step, _ in some) / len(some), sum(value for _, value in some) / len(some))
        for some in groups
    ]


def _chart(recipe: Recipe, quantity: str, lines: list[Line], expected: float | None) -> Markup | None:
    lines = [line for line in lines if line.points]
    if not lines or recipe.training is None:
        return None
    epochs = recipe.training.epochs
    steps = recipe.training.steps
    steps_per_epoch = steps / epochs if epochs and steps else 1.0
    x = Scale(0, max(epochs, 1), LEFT, WIDTH - RIGHT)
    values = [value for line in lines for _, value in line.points] + ([] if expected is None else [expected])
    y = _vertical_scale(values)
    epoch_ticks = x.ticks(6)
    across = zip(epoch_ticks, numbers.tick_labels(epoch_ticks), strict=True)
    quantity = numbers.spoken(quantity)
    name = f"{quantity} (logarithmic)" if y.log else quantity
    marks = axes(x, y, 5, across, ("epochs", name), TOP - 10)
    ends: list[tuple[float, str, str]] = []
    if expected is not None:
        marks.append(element("line", x1=x.start, x2=x.end, y1=y(expected), y2=y(expected), class_="goal"))
        ends.append((y(expected), f"expected {expected:g}", "goal-name"))
    for line in lines:
        points = [(x(step / steps_per_epoch), y(value)) for step, value in line.points]
        if len(points) > 1:
            marks.append(element("path", d=path(points), class_=line.kind))
        marks.append(element("circle", cx=points[-1][0], cy=points[-1][1], r=2.5, class_=f"end {line.kind}"))
        ends.append((points[-1][1], f"{line.kind} {line.points[-1][1]:.3f}", f"{line.kind}-name"))
    marks += end_labels(ends, x.end + 7, HEIGHT - BOTTOM)
    told = ", ".join(f"{line.kind} ends at {line.points[-1][1]:.3f}" for line in lines)
    return figure(WIDTH, HEIGHT, f"{quantity} of {recipe.name} over {epochs:g} epochs: {told}", *marks)


def _vertical_scale(values: list[float]) -> Scale:
    low, high = min(values), max(values)
    log = low > 0 and high / low > 4
    margin = (high - low) * 0.06 or abs(high) * 0.05 or 1.0
    if log:
        low, high = low / 1.1, high * 1.05
    else:
        low, high = low - margin, high + margin
    return Scale(low, high, HEIGHT - BOTTOM, TOP, log=log)
