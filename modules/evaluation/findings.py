"""What an evaluation found: figures, images and charts, whatever the learning problem.

metrics.json     figures by name
images/        a PNG each, and images.json: [{"file", "title", "caption"}] in the report's order
charts.json      a list of `Chart`
exhibits/        texts, sounds, strips of images and more, if any: see modules/evaluation/exhibits.py
"""

import json
import math
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy
from PIL import Image

from modules.evaluation.exhibits import Exhibit, exhibit_entry


@dataclass(frozen=True)
class ReportImage:
    """An image for the report.

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
    """A chart as data; the report plots it.

    Attributes:
        name: stem of its file.
        title: above it.
        caption: what is to be seen, in a sentence or two.
        kind: points joined in their order, or a cloud.
        x: title of the horizontal axis.
        y: title of the vertical axis.
        series: what is plotted.
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


class Details(Protocol):
    """What one evaluator leaves in files of its own, beside what every evaluation leaves."""

    def save(self, folder: Path) -> list[Path]:
        """Writes it into the evaluation's folder, and returns the files that the run's tracker keeps."""
        ...


@dataclass(frozen=True)
class Findings:
    """What one evaluator found on the test split, or several together.

    Attributes:
        metrics: figures by name.
        images: for the report, in order.
        charts: for the report, in order.
        exhibits: for the report, in order.
        details: with files of their own.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    images: list[ReportImage] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)
    exhibits: list[Exhibit] = field(default_factory=list)
    details: list[Details] = field(default_factory=list)

    def save(self, folder: Path) -> list[Path]:
        """Writes all of it into an empty folder.

        Returns:
            The files that the run's tracker keeps as well.
        """
        write_json(self.metrics, folder / "metrics.json")
        write_json([asdict(_finite(chart)) for chart in self.charts], folder / "charts.json")
        (folder / "images").mkdir()
        files = [folder / "images" / f"{image.name}.png" for image in self.images]
        for image, file in zip(self.images, files, strict=True):
            Image.fromarray(image.pixels).save(file)
        entries = [
            {"file": file.name, "title": image.title, "caption": image.caption}
            for image, file in zip(self.images, files, strict=True)
        ]
        write_json(entries, folder / "images" / "images.json")
        kept = self._save_exhibits(folder / "exhibits") if self.exhibits else []
        kept += [file for one in self.details for file in one.save(folder)]
        return [folder / "metrics.json", folder / "charts.json", *files, *kept]

    def _save_exhibits(self, folder: Path) -> list[Path]:
        folder.mkdir()
        entries = [exhibit_entry(exhibit, folder) for exhibit in self.exhibits]
        write_json(entries, folder / "exhibits.json")
        return sorted(folder.iterdir())


def write_json(content: Any, file: Path) -> None:
    """One JSON document that every reader takes (no NaN)."""
    file.write_text(
        json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
    )


def _finite(chart: Chart) -> Chart:
    """The chart without the points that cannot be plotted."""
    return replace(
        chart,
        series=[
            Series(one.name, [point for point in one.points if all(map(math.isfinite, point))])
            for one in chart.series
        ],
    )
