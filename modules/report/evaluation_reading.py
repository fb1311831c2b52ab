"""Reads what an evaluation left in build/evaluate/<recipe>/, see modules/evaluation."""

from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy

from modules.configuration.regular_file import open_regular
from modules.evaluation.findings import Chart, Series
from modules.report.exhibit_reading import read_exhibits
from modules.report.files import broken, finite, read_beside, read_json
from modules.report.results import Evaluation, Mistake, ReportImage


def read_evaluation(folder: Path) -> Evaluation:
    """Everything that is there; only metrics.json must be.

    Raises:
        UserError: a file can't be read.
    """
    metrics = read_json(folder / "metrics.json", ("num_samples",))
    confusion_path = folder / "confusion.json"
    confusion: dict[str, Any] = {"classes": [], "matrix": []}
    if confusion_path.is_file():
        confusion = read_json(confusion_path, ("classes", "matrix"))
    classes = [str(name) for name in confusion["classes"]]
    try:
        matrix = numpy.array(confusion["matrix"], dtype=numpy.int64).reshape(len(classes), len(classes))
        figures = {str(name): finite(value) for name, value in metrics.items()}
        if (matrix < 0).any():
            raise ValueError("a negative count")
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise broken(folder, "holds metrics or a confusion matrix of another form") from error
    filters_path, provenance = folder / "filters.npy", folder / "provenance.json"
    made_by = read_json(provenance, ("identity",)) if provenance.is_file() else {"identity": ""}
    return Evaluation(
        metrics=figures,
        images=_read_images(folder / "images" / "images.json"),
        charts=_read_charts(folder / "charts.json"),
        exhibits=read_exhibits(folder / "exhibits" / "exhibits.json"),
        per_class=_per_class(classes, matrix),
        classes=classes,
        confusion=matrix,
        mistakes=_read_mistakes(folder / "mistakes"),
        filters=_read_filters(filters_path) if filters_path.is_file() else None,
        identity=str(made_by["identity"]),
        takes=", ".join(str(one["kind"]) for one in made_by.get("inputs", []) if isinstance(one, dict)),
    )


def _per_class(classes: list[str], confusion: numpy.ndarray) -> dict[str, float]:
    """The accuracy of each class; a class without samples has none and is left out."""
    counts = zip(classes, confusion.diagonal().tolist(), confusion.sum(axis=1).tolist(), strict=True)
    return {name: right / total for name, right, total in counts if total}


def _read_images(path: Path) -> list[ReportImage]:
    if not path.is_file():
        return []
    try:
        return [
            ReportImage(read_beside(path, str(entry["file"])), str(entry["title"]), str(entry["caption"]))
            for entry in read_json(path, kind=list)
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise broken(path, "lacks file, title or caption") from error


def _read_charts(path: Path) -> list[Chart]:
    if not path.is_file():
        return []
    try:
        return [_chart(entry) for entry in read_json(path, kind=list)]
    except (KeyError, TypeError, ValueError) as error:
        raise broken(path, "holds a chart of another form") from error


def _chart(entry: dict[str, Any]) -> Chart:
    kind, series = entry["kind"], entry["series"]
    if kind not in get_args(get_type_hints(Chart)["kind"]):
        raise ValueError(kind)
    return Chart(
        **{key: str(entry[key]) for key in ("name", "title", "caption", "x", "y")},
        kind=kind,
        series=[
            Series(str(one["name"]), [(finite(x), finite(y)) for x, y in one["points"]]) for one in series
        ],
        log_x=bool(entry["log_x"]),
        log_y=bool(entry["log_y"]),
    )


def _read_mistakes(folder: Path) -> list[Mistake]:
    path = folder / "mistakes.json"
    if not path.is_file():
        return []
    mistakes = []
    for entry in read_json(path, kind=list):
        try:
            mistakes.append(
                Mistake(
                    image=read_beside(path, str(entry["file"])),
                    truth=str(entry["truth"]),
                    prediction=str(entry["prediction"]),
                    probability=finite(entry["probability"]),
                )
            )
        except (KeyError, TypeError, ValueError) as error:
            raise broken(path, "lacks file, truth, prediction or probability") from error
    return mistakes


def _read_filters(path: Path) -> numpy.ndarray:
    try:
        with open_regular(path, links=True) as opened:
            filters = numpy.lib.format.read_array(opened, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise broken(path, "is not an array") from error
    numeric = filters.dtype.kind == "f" and numpy.isfinite(filters).all()
    if filters.ndim != 4 or not filters.size or not numeric:
        raise broken(path, "is not finite weights [filters, channels, height, width]")
    return filters
