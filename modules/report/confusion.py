"""Which classes are taken for which: matrix, most frequent confusions, accuracy of each class."""

from dataclasses import dataclass

import numpy
from markupsafe import Markup

from modules.report import numbers
from modules.report.results import Evaluation
from modules.report.svg import Scale, element, figure

# A larger matrix is no longer read cell by cell, nor does it fit the page: the page says so.
MOST_CLASSES = 50
# A larger one has the page's whole width.
DENSE = 15


@dataclass(frozen=True)
class Cell:
    """A count, and how dark to print it: 0..1 within the diagonal or within the confusions."""

    count: int
    shade: float
    right: bool


@dataclass(frozen=True)
class Confusion:
    """`count` samples of class `truth`, a `share` of them, were taken for `prediction`."""

    truth: str
    prediction: str
    count: int
    share: float


def matrix_rows(evaluation: Evaluation) -> list[tuple[str, list[Cell]]] | None:
    """The rows of the matrix by true class, or None where there are too many classes."""
    counts = evaluation.confusion
    if not 2 <= len(evaluation.classes) <= MOST_CLASSES:
        return None
    totals = numpy.maximum(counts.sum(axis=1, keepdims=True), 1)
    shares = counts / totals
    confused = shares * (1 - numpy.eye(len(counts)))
    # The square root keeps rare confusions visible beside the most frequent one.
    shades = numpy.sqrt(confused / (confused.max() or 1.0))
    return [
        (
            name,
            [
                Cell(
                    int(counts[row, column]),
                    float(shares[row, row] if row == column else shades[row, column]),
                    row == column,
                )
                for column in range(len(counts))
            ],
        )
        for row, name in enumerate(evaluation.classes)
    ]


def most_confused(evaluation: Evaluation, most: int = 6) -> list[Confusion]:
    """The pairs of classes with the most errors, the most frequent first."""
    counts = evaluation.confusion
    totals = counts.sum(axis=1)
    pairs = [
        Confusion(
            evaluation.classes[row],
            evaluation.classes[column],
            int(counts[row, column]),
            float(counts[row, column] / totals[row]),
        )
        for row, column in numpy.argwhere(counts > 0)
        if row != column
    ]
    return sorted(pairs, key=lambda pair: (-pair.count, pair.truth, pair.prediction))[:most]


def class_accuracy(evaluation: Evaluation, overall: float | None, most: int = MOST_CLASSES) -> Markup | None:
    """One dot for each class, the best first; only the worst where there are too many."""
    classes = sorted(evaluation.per_class.items(), key=lambda item: (-item[1], item[0]))[-most:]
    if not classes:
        return None
    width, line, top, bottom = 336, 20, 4, 22
    left = min(150.0, 12 + 6.3 * max(len(name) for name, _ in classes))
    height = top + line * len(classes) + bottom
    low = min(value for _, value in classes)
    x = Scale(max(0.0, low - 0.05), 1.0, left, width - 44)
    marks = []
    base = top + line * len(classes)
    if overall is not None and x.low <= overall <= 1:
        marks.append(element("line", x1=x(overall), x2=x(overall), y1=top, y2=base, class_="goal"))
    for index, (name, value) in enumerate(classes):
        y = top + line * (index + 0.5)
        short = name if len(name) <= 22 else name[:21] + "…"
        marks.append(element("text", short, x=left - 10, y=y + 4, text_anchor="end", class_="name"))
        marks.append(element("line", x1=left, x2=x(value), y1=y, y2=y, class_="leader"))
        marks.append(element("circle", cx=x(value), cy=y, r=3.5, class_="dot"))
        marks.append(element("text", f"{value:.3f}", x=width, y=y + 4, text_anchor="end"))
    if overall is not None and x.low <= overall <= 1:
        name = f"all {overall:.3f}"
        marks.append(element("text", name, x=x(overall), y=base + 15, text_anchor="middle", class_="title"))
    told = ", ".join(f"{name} {numbers.score(value)}" for name, value in classes)
    return figure(width, height, f"Accuracy of each class: {told}", *marks)
