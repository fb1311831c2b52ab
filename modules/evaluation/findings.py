"""What an evaluation found: figures, pictures and charts, whatever the learning problem."""

from dataclasses import dataclass, field
from typing import Literal

import numpy


@dataclass(frozen=True)
class Picture:
    """A picture for the report.

    Attributes:
        name: stem of its file.
        title: above it.
        caption: what is to be seen, in a sentence or two.
        pixels: uint8, [height, width] or [height, width, 3].
    """

    name: str
    title: str
    caption: str
    pixels: numpy.ndarray


@dataclass(frozen=True)
class Series:
    """One line, or one cloud of points, of a chart."""

    name: str
    points: list[tuple[float, float]]


@dataclass(frozen=True)
class Chart:
    """A chart as data; the report draws it.

    Attributes:
        name: stem of its file.
        title: above it.
        caption: what is to be seen, in a sentence or two.
        kind: points joined in their order, or a cloud.
        x: title of the horizontal axis.
        y: title of the vertical axis.
        series: what is drawn.
        log_x: whether the horizontal axis is logarithmic.
        log_y: whether the vertical axis is logarithmic.
    """

    name: str
    title: str
    caption: str
    kind: Literal["lines", "points"]
    x: str
    y: str
    series: list[Series]
    log_x: bool = False
    log_y: bool = False


@dataclass(frozen=True)
class Findings:
    """What an evaluation on the test split found.

    Attributes:
        metrics: figures by name; `num_samples` and what the recipe expects are among them.
        pictures: for the report, in order.
        charts: for the report, in order.
    """

    metrics: dict[str, float]
    pictures: list[Picture] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)
