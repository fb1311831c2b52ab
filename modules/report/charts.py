"""Charts of an evaluation or a study: lines with their names at their ends, or clouds of points."""

import math
from collections.abc import Sequence

from markupsafe import Markup

from modules.evaluation.findings import Chart, Series
from modules.report import numbers
from modules.report.axes import LABEL_LINE, axes, end_labels
from modules.report.svg import Scale, element, figure, path

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 440.0, 260.0, 46.0, 26.0, 38.0
CHARACTER, LONGEST = 6.3, 24  # mean width of a character in px; longer names of series are cut
# A cloud of more points than this is thinned evenly: it looks the same, and the page stays small.
MOST_POINTS = 3000
NUM_COLOURS = 10
# More names than this do not stand beside a chart: the rest are counted.
MOST_NAMED = 14

Spread = tuple[float, float, float]
"""x, and the least and the greatest y there."""


def plot(
    chart: Chart,
    across: Sequence[tuple[float, str]] = (),
    spreads: Sequence[Sequence[Spread]] = (),
    named: bool = True,
) -> Markup | None:
    """Plots a chart; None where it has no point that can be plotted.

    Args:
        chart: what to plot.
        across: the marked values of x with their labels, where round numbers would not do.
        spreads: of each series, plotted as thin vertical lines.
        named: whether the names of series stand beside them, where there is one to tell; else a legend does.
    """
    series = [Series(_cut(one.name), _drawable(chart, one.points)) for one in chart.series]
    points = [point for one in series for point in one.points]
    if not points:
        return None
    heights = [y for _, y in points] + [y for some in spreads for _, *ends in some for y in ends]
    named = named and any(one.name for one in series) and (len(series) > 1 or chart.kind == "lines")
    right = 14 + CHARACTER * max(len(one.name) for one in series) if named else 12
    x = _scale(
        [x for x, _ in points], LEFT, WIDTH - right, chart.log_x, 0.03 if chart.kind == "points" else 0
    )
    y = _scale(heights, HEIGHT - BOTTOM, TOP, chart.log_y, 0.06)
    ticks = x.ticks(6)
    marked = _apart(across, x) if across else list(zip(ticks, numbers.tick_labels(ticks), strict=True))
    titles = (_title(chart.x, chart.log_x), _title(chart.y, chart.log_y))
    marks = axes(x, y, 6, marked, titles, TOP - 13)
    for place, one in enumerate(series):
        spread = spreads[place] if spreads else ()
        inside = [_dots(one, x, y, len(points))] if chart.kind == "points" else _line(one, spread, x, y)
        marks.append(element("g", *inside, class_=_colour(place)))
    if named:
        marks += _names(chart, series, x, y)
    if chart.kind == "points" and len(points) > MOST_POINTS:
        told = f"{MOST_POINTS:,} of {len(points):,} points"
        marks.append(element("text", told, x=LEFT, y=HEIGHT - 5, class_="title"))
    told = ", ".join(f"{one.name} ({len(one.points)} points)" for one in series if one.points)
    return figure(WIDTH, HEIGHT, f"{chart.title}: {chart.y} against {chart.x}; {told}", *marks)


def _line(one: Series, spread: Sequence[Spread], x: Scale, y: Scale) -> list[Markup]:
    plotted = [(x(across), y(height)) for across, height in one.points]
    marks = [
        element("line", x1=x(across), x2=x(across), y1=y(low), y2=y(high), class_="spread")
        for across, low, high in spread
        if high > low
    ]
    if len(plotted) > 1:
        marks.append(element("path", d=path(plotted)))
    if len(plotted) <= 12:
        for (cx, cy), (across, height) in zip(plotted, one.points, strict=True):
            hint = element("title", f"{one.name}: {height:.4g} at {across:.4g}")
            marks.append(element("circle", hint, cx=cx, cy=cy, r=2.6, class_="dot"))
    return marks


def _dots(one: Series, x: Scale, y: Scale, num_points: int) -> Markup:
    """All points as one path of dots; to half a pixel, so that a cloud stays small."""
    step = max(1, math.ceil(num_points / MOST_POINTS))
    places = {(round(2 * x(across)) / 2, round(2 * y(height)) / 2) for across, height in one.points[::step]}
    return element("path", d="".join(f"M{cx:g} {cy:g}h0" for cx, cy in sorted(places)), class_="dots")


def _names(chart: Chart, series: list[Series], x: Scale, y: Scale) -> list[Markup]:
    num_named = len(series) if len(series) <= MOST_NAMED else MOST_NAMED - 1
    left, bottom = x.end + 9, HEIGHT - BOTTOM
    if chart.kind == "lines":
        ends = [
            (y(one.points[-1][1]), one.name, f"name-of {_colour(place)}")
            for place, one in enumerate(series[:num_named])
            if one.points
        ]
        room = bottom if num_named == len(series) else bottom - LABEL_LINE
        marks = end_labels(ends, left, room) if ends else []
    else:
        marks = [
            element("text", one.name, x=left, y=TOP + 4 + 15 * place, class_=f"name-of {_colour(place)}")
            for place, one in enumerate(series[:num_named])
        ]
    if num_named < len(series):
        more = f"and {len(series) - num_named} more"
        marks.append(element("text", more, x=left, y=bottom + 4, class_="title"))
    return marks


def _apart(across: Sequence[tuple[float, str]], x: Scale) -> list[tuple[float, str]]:
    """The marks whose labels leave one another alone, the last of them among these."""
    kept, edge = [], math.inf
    for value, label in sorted(across, reverse=True):
        half = CHARACTER * len(label) / 2
        if x(value) + half + 4 <= edge:
            kept.append((value, label))
            edge = x(value) - half
    return kept[::-1]


def _drawable(chart: Chart, points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that are numbers, and positive where their axis is logarithmic."""
    return [
        (x, y)
        for x, y in points
        if math.isfinite(x) and math.isfinite(y) and (x > 0 or not chart.log_x) and (y > 0 or not chart.log_y)
    ]


def _scale(values: list[float], start: float, end: float, log: bool, margin: float) -> Scale:
    low, high = min(values), max(values)
    if log:
        factor = (high / low) ** margin if high > low else 1.1
        return Scale(low / factor, high * factor, start, end, log=True)
    width = (high - low) * margin if high > low else abs(high) * 0.05 or 1.0
    return Scale(low - width, high + width, start, end)


def _title(name: str, log: bool) -> str:
    return f"{name} (logarithmic)" if log else name


def _colour(place: int) -> str:
    return f"s{place % NUM_COLOURS}"


def _cut(name: str) -> str:
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"
