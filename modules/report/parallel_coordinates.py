"""Parallel coordinates: each swept key and the metric as an axis, each trial as a line through its values."""

import math
from collections.abc import Callable

from markupsafe import Markup

from modules.report import numbers
from modules.report.svg import Scale, element, figure, path
from modules.report.sweep_results import ENDED_WELL, Axis, SweepResults, Trial, as_number

TOP, BOTTOM, SIDE, GAP, LEAST_WIDTH = 44.0, 330.0, 58.0, 132.0, 1060.0
WITHOUT_VALUE = BOTTOM + 30  # where trials end that have none
MOST_NAMES = 12  # of listed values beside an axis
CROWD = 60  # trials whose lines are plotted lighter
FEW = 12  # trials that need not lie side by side
LONGEST = 17  # characters of a name

SPREAD = 0.55  # of a listed value's room, where lines that share it lie side by side, the better above

Height = Callable[[str | None], float]


def parallel_coordinates(sweep: SweepResults) -> Markup:
    """All trials: bluer the better, stopped ones broken, failed ones rust, the best one strong."""
    axes = sweep.axes()
    width = max(LEAST_WIDTH, 2 * SIDE + GAP * len(axes))
    places = [SIDE + (width - 2 * SIDE) * index / max(len(axes), 1) for index in range(len(axes) + 1)]
    heights = [_height(axis) for axis in axes]
    value_scale, shades = metric_scale(sweep), shades_of(sweep)
    marks: list[Markup] = []
    for trial in reversed(sweep.ranked()):
        points = []
        for axis, x, height in zip(axes, places[:-1], heights, strict=True):
            room = 0.0 if axis.values is None else SPREAD * (BOTTOM - TOP) / len(axis.values)
            beside = room * (0.5 - shades[trial.number]) if len(sweep.trials) > FEW else 0.0
            points.append((x, height(trial.point.get(axis.key)) + beside))
        ends = WITHOUT_VALUE if trial.value is None else value_scale(_clipped(trial.value, value_scale))
        points.append((places[-1], ends))
        marks.append(_line(sweep, trial, points, shades[trial.number]))
    for axis, x, height in zip(axes, places[:-1], heights, strict=True):
        marks += _axis(axis, x, height)
    marks += _metric_axis(sweep, places[-1], value_scale)
    label = f"{len(sweep.trials)} trials over {', '.join(axis.key for axis in axes)} and {sweep.metric}"
    lowest = WITHOUT_VALUE + 14 if any(trial.value is None for trial in sweep.trials) else BOTTOM + 14
    return figure(
        width, lowest, label, element("g", *marks, class_="crowd" if len(sweep.trials) > CROWD else None)
    )


def metric_scale(sweep: SweepResults) -> Scale:
    """The metric from bottom to top, the better end above; a few hopeless trials do not squeeze the rest."""
    values = sorted(trial.value for trial in sweep.trials if trial.value is not None)
    if not values:
        return Scale(0, 1, BOTTOM, TOP)
    if len(values) >= 10:
        middle = values[len(values) // 10 : len(values) - len(values) // 10]
        reach = 1.5 * (middle[-1] - middle[0]) or math.inf
        values = [value for value in values if middle[0] - reach <= value <= middle[-1] + reach]
    low, high = values[0], values[-1]
    margin = 0.0 if high > low else abs(high) * 0.05 or 1.0
    start, end = (BOTTOM, TOP) if sweep.mode == "max" else (TOP, BOTTOM)
    return Scale(low - margin, high + margin, start, end)


def shades_of(sweep: SweepResults) -> dict[int, float]:
    """How good each trial is, by its rank: 1 the best value, 0 the worst or none."""
    scored = [trial for trial in sweep.trials if trial.value is not None]
    scored.sort(key=lambda trial: sweep.sign * (trial.value or 0.0))
    shades = {trial.number: rank / max(len(scored) - 1, 1) for rank, trial in enumerate(scored)}
    return {trial.number: shades.get(trial.number, 0.0) for trial in sweep.trials}


def kind_of(sweep: SweepResults, trial: Trial) -> str:
    """Classes of a trial's marks."""
    kind = "trial ended" if trial.status in ENDED_WELL else f"trial {trial.status.lower()}"
    return kind + (" best" if trial is sweep.best else "")


def _line(sweep: SweepResults, trial: Trial, points: list[tuple[float, float]], shade: float) -> Markup:
    value = "no value" if trial.value is None else f"{trial.value:.4g}"
    given = ", ".join(f"{key}={text}" for key, text in trial.point.items())
    hint = f"trial {trial.number}: {value}, {trial.status.lower()}\n{given}"
    inside = [element("title", hint), element("path", d=path(points), style=f"--shade:{shade:.2f}")]
    if trial is sweep.best:
        inside.insert(1, element("path", d=path(points), class_="edge"))
        inside.append(element("circle", cx=points[-1][0], cy=points[-1][1], r=3.5))
    return element("a", *inside, href=f"#trial-{trial.number}", class_=kind_of(sweep, trial))


def _clipped(value: float, scale: Scale) -> float:
    return min(max(value, scale.low), scale.high)


def _height(axis: Axis) -> Height:
    if axis.values is None:
        scale = Scale(axis.low, axis.high, BOTTOM, TOP, log=axis.log)
        return lambda text: scale(as_number(text or "") or 0.0)
    values, count = axis.values, len(axis.values)
    return lambda text: BOTTOM - (BOTTOM - TOP) * (values.index("–" if text is None else text) + 0.5) / count


def _axis(axis: Axis, x: float, height: Height) -> list[Markup]:
    marks = [element("line", x1=x, x2=x, y1=TOP, y2=BOTTOM, class_="rail")]
    name, kind = axis.key, " (log)" if axis.log else ""
    parent, _, own = name.rpartition(".")
    marks.append(element("text", parent + "." if parent else "", x=x, y=TOP - 27, text_anchor="middle"))
    marks.append(element("text", own + kind, x=x, y=TOP - 12, text_anchor="middle", class_="name"))
    if axis.values is None:
        scale = Scale(axis.low, axis.high, BOTTOM, TOP, log=axis.log)
        ticks = scale.ticks(5)
        labels = [f"{value:g}" for value in ticks] if axis.log else numbers.tick_labels(ticks)
        named = list(zip(map(scale, ticks), labels, strict=True))
    else:
        every = math.ceil(len(axis.values) / MOST_NAMES)
        named = [(height(text), _short(text)) for text in axis.values[::every]]
    for y, text in named:
        marks.append(element("line", x1=x - 3, x2=x + 3, y1=y, y2=y, class_="rail"))
        marks.append(element("text", text, x=x + 7, y=y + 4, class_="halo"))
    return marks


def _metric_axis(sweep: SweepResults, x: float, scale: Scale) -> list[Markup]:
    marks = [element("line", x1=x, x2=x, y1=TOP, y2=BOTTOM, class_="rail metric")]
    parent, _, own = sweep.metric.rpartition("/")
    marks.append(element("text", parent, x=x, y=TOP - 27, text_anchor="middle"))
    marks.append(element("text", own, x=x, y=TOP - 12, text_anchor="middle", class_="name"))
    ticks = scale.ticks(6)
    for value, label in zip(ticks, numbers.tick_labels(ticks), strict=True):
        marks.append(element("line", x1=x, x2=x + 4, y1=scale(value), y2=scale(value), class_="rail"))
        marks.append(element("text", label, x=x + 8, y=scale(value) + 4))
    if any(trial.value is None for trial in sweep.trials):
        marks.append(element("line", x1=x - 4, x2=x + 4, y1=WITHOUT_VALUE, y2=WITHOUT_VALUE, class_="rail"))
        marks.append(element("text", "none", x=x + 8, y=WITHOUT_VALUE + 4))
    return marks


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
