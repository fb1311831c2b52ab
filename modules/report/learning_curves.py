"""Learning curves: loss in training and validation, and the score in validation."""

import math
from dataclasses import dataclass

from markupsafe import Markup

from modules.report import numbers
from modules.report.axes import axes
from modules.report.results import Curve, Recipe
from modules.report.svg import Scale, element, figure, path

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 336, 200, 38, 96, 22, 36
# More points than this are averaged in groups: a line can't show more on this width.
MOST_POINTS = 250
LABEL_LINE = 13.0


@dataclass(frozen=True)
class Line:
    """One curve with the words at its end."""

    label: str
    points: Curve
    kind: str


def loss_curves(recipe: Recipe) -> Markup | None:
    """Training and validation loss against epochs, on a logarithmic scale where they fall far."""
    lines = [
        Line("training", _curve(recipe, "train", "loss"), "training"),
        Line("validation", _curve(recipe, "validation", "loss"), "validation"),
    ]
    return _chart(recipe, "loss", lines, expected=None)


def score_curve(recipe: Recipe) -> Markup | None:
    """The expected metric on the validation split against epochs, with the goal for the test split."""
    lines = [
        Line("training", _curve(recipe, "train", recipe.metric), "training"),
        Line("validation", _curve(recipe, "validation", recipe.metric), "validation"),
    ]
    return _chart(recipe, recipe.metric, lines, expected=recipe.expected)


def final_value(recipe: Recipe, split: str, metric: str) -> float | None:
    """The last value of a curve."""
    points = _curve(recipe, split, metric)
    return points[-1][1] if points else None


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
    values = [value for line in lines for _, value in line.points] + ([expected] if expected else [])
    y = _vertical_scale(values)
    epoch_ticks = x.ticks(6)
    across = zip(epoch_ticks, numbers.tick_labels(epoch_ticks), strict=True)
    name = f"{quantity} (logarithmic)" if y.log else quantity
    marks = axes(x, y, 5, across, ("epochs", name), TOP - 10)
    ends: list[tuple[float, str, str]] = []
    if expected:
        marks.append(element("line", x1=x.start, x2=x.end, y1=y(expected), y2=y(expected), class_="goal"))
        ends.append((y(expected), f"expected {expected:g}", "goal-name"))
    for line in lines:
        points = [(x(step / steps_per_epoch), y(value)) for step, value in line.points]
        if len(points) > 1:
            marks.append(element("path", d=path(points), class_=line.kind))
        marks.append(element("circle", cx=points[-1][0], cy=points[-1][1], r=2.5, class_=f"end {line.kind}"))
        ends.append((points[-1][1], f"{line.label} {line.points[-1][1]:.3f}", f"{line.kind}-name"))
    marks += _end_labels(ends, x.end + 7)
    told = ", ".join(f"{line.label} ends at {line.points[-1][1]:.3f}" for line in lines)
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


def _end_labels(ends: list[tuple[float, str, str]], x: float) -> list[Markup]:
    """Labels beside the ends of their lines, pushed apart where they would overlap."""
    marks, floor = [], -math.inf
    ends = sorted(ends)
    overflow = max(0.0, (len(ends) - 1) * LABEL_LINE - (HEIGHT - BOTTOM - ends[0][0]))
    for height, text, kind in ends:
        floor = max(height - overflow, floor + LABEL_LINE)
        marks.append(element("text", text, x=x, y=floor + 4, class_=kind))
    return marks
