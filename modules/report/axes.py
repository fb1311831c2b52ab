"""The axes of a chart: a grid line at each height, a mark below each value across, titles; names of lines."""

import math
from collections.abc import Iterable

from markupsafe import Markup

from modules.report import numbers
from modules.report.svg import Scale, element

LABEL_LINE = 13.0


def axes(
    x: Scale,
    y: Scale,
    num_heights: int,
    across: Iterable[tuple[float, str]],
    titles: tuple[str, str],
    top: float,
) -> list[Markup]:
    """Plots both axes.

    Args:
        x: across.
        y: upwards.
        num_heights: grid lines, at the most.
        across: each marked value of x, with its label.
        titles: of x and of y.
        top: where the title of y stands, in px.
    """
    marks = []
    heights = y.ticks(num_heights)
    for value, label in zip(heights, numbers.tick_labels(heights), strict=True):
        marks.append(element("line", x1=x.start, x2=x.end, y1=y(value), y2=y(value), class_="grid"))
        marks.append(element("text", label, x=x.start - 7, y=y(value) + 4, text_anchor="end"))
    for value, label in across:
        marks.append(element("line", x1=x(value), x2=x(value), y1=y.start, y2=y.start + 4, class_="axis"))
        marks.append(element("text", label, x=x(value), y=y.start + 17, text_anchor="middle"))
    marks.append(element("line", x1=x.start, x2=x.end, y1=y.start, y2=y.start, class_="axis"))
    marks.append(element("text", titles[0], x=x.end, y=y.start + 33, text_anchor="end", class_="title"))
    marks.append(element("text", titles[1], x=0, y=top, class_="title"))
    return marks


def end_labels(ends: list[tuple[float, str, str]], x: float, bottom: float) -> list[Markup]:
    """Names beside the ends of lines, pushed apart where they would overlap.

    Args:
        ends: height, words and class of each.
        x: where they begin, in px.
        bottom: of the chart, in px.
    """
    marks, floor = [], -math.inf
    ends = sorted(ends)
    overflow = max(0.0, (len(ends) - 1) * LABEL_LINE - (bottom - ends[0][0]))
    for height, text, kind in ends:
        floor = max(height - overflow, floor + LABEL_LINE)
        marks.append(element("text", text, x=x, y=floor + 4, class_=kind))
    return marks
