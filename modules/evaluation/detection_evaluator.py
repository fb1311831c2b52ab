"""Detection: mean average precision, curves of precision and recall, boxes over images, the worst misses.

metrics.json holds, all of the test split:

mean_average_precision       over the classes and the overlaps .5, .55 ... .95, as COCO has it
average_precision_50         over the classes, of boxes that overlap their object by .5
average_precision_below_16_px    as the first, of objects whose longer side is below 16 px
recall_50                    share of the objects that are found at an overlap of .5, at any score, over the
                             classes
mean_average_precision_<split>, average_precision_50_<split>    the same of each further split
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy
import torch

from modules.bricks.boxes import box_overlaps
from modules.configuration.plans.run_plan import Plan
from modules.datamodules.shard_loader import EvaluationLoader
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.shard_split import ShardSplit
from modules.evaluation.classification_evaluator import classes_of
from modules.evaluation.exhibits import AnnotatedImage, Box, Gallery, TextTable
from modules.evaluation.findings import Chart, Findings, Series
from modules.evaluation.image_tiles import pixels
from modules.metrics.average_precision import (
    OVERLAPS,
    AveragePrecision,
    Objects,
    ScoredObjects,
    average_precision,
)
from modules.tasks.detection import Detection

_NUM_SHOWN, _SHOWN_SCORE = 8, 0.5
_SMALL_PX = 16
Pairs = list[tuple[Objects, ScoredObjects]]


class DetectionEvaluator:
    """Runs the detector over the test split, and over others that are asked for.

    Args:
        batch_size: images at a time.
        other_splits: measured too, such as one of objects that training never saw.
    """

    metrics: ClassVar[dict[str, Literal["max", "min"]]] = {
        "mean_average_precision": "max",
        "average_precision_50": "max",
        "average_precision_below_16_px": "max",
        "recall_50": "max",
    }
    charts: ClassVar[tuple[str, ...]] = ("precision_recall",)

    def __init__(self, batch_size: int = 50, other_splits: tuple[str, ...] | list[str] = ()) -> None:
        self.batch_size = batch_size
        self.other_splits = other_splits

    @torch.no_grad()
    def evaluate(self, task: Detection, data: ShardSet, plan: Plan) -> Findings:
        """Figures, curves, a table of classes, and boxes over images.

        Raises:
            UserError: the labels have no classes, or there is no such split.
        """
        classes = classes_of(plan.data.fields, task.labels)
        split = data.split("test")
        pairs = self._compare(task, split)
        precision = _precision(pairs, len(classes), task.max_boxes)
        recall = precision.recall[0]
        figures = {
            "mean_average_precision": precision.mean(),
            "average_precision_50": precision.mean(0.5),
            "recall_50": float(recall[recall > -1].mean()),
        }
        small = _precision(pairs, len(classes), task.max_boxes, _SMALL_PX)
        if (small.precision > -1).any():
            figures[f"average_precision_below_{_SMALL_PX}_px"] = small.mean()
        for name in self.other_splits:
            other = _precision(self._compare(task, data.split(name)), len(classes), task.max_boxes)
            figures[f"mean_average_precision_{name}"] = other.mean()
            figures[f"average_precision_50_{name}"] = other.mean(0.5)
        misses = numpy.array([_num_wrong(pair) for pair in pairs]).argsort(kind="stable")[::-1]
        spread = numpy.linspace(0, len(pairs) - 1, _NUM_SHOWN).astype(int)
        exhibits = [
            _gallery(
                task, split, pairs, classes, spread.tolist(), "boxes", "Boxes",
                "Images spread over the test split",
            ),
            _gallery(
                task, split, pairs, classes, misses[:_NUM_SHOWN].tolist(), "misses", "Worst misses",
                "Images with most objects missed and boxes without an object",
            ),
            _table(precision, pairs, classes),
        ]  # fmt: skip
        return Findings(figures, charts=[_curves(precision)], exhibits=exhibits)

    def _compare(self, task: Detection, split: ShardSplit) -> Pairs:
        return [
            pair
            for batch in EvaluationLoader(split, self.batch_size)
            for pair in task.compare(batch, task.model(task.inputs(batch)))
        ]


def _precision(
    pairs: Sequence[tuple[Objects, ScoredObjects]], num_classes: int, max_boxes: int, below_px: float = 1e5
) -> AveragePrecision:
    truth, found = zip(*pairs, strict=True)
    return average_precision(truth, found, num_classes, max_boxes, below_px)


def matches(
    pair: tuple[Objects, ScoredObjects], min_score: float, min_overlap: float = 0.5
) -> tuple[set[int], set[int]]:
    """Numbers of the objects that are found, and of the boxes that found one, the most probable first."""
    truth, found = pair
    objects: set[int] = set()
    boxes: set[int] = set()
    overlaps = box_overlaps(*(torch.from_numpy(one.boxes).double() for one in pair)).numpy()
    for number in numpy.argsort(-found.scores, kind="stable").tolist():
        if found.scores[number] < min_score:
            break
        best, place = min_overlap, -1
        for other in range(len(truth.boxes)):
            is_free = other not in objects and truth.classes[other] == found.classes[number]
            if is_free and overlaps[other, number] >= best:
                best, place = overlaps[other, number], other
        if place >= 0:
            objects.add(place)
            boxes.add(number)
    return objects, boxes


def _num_wrong(pair: tuple[Objects, ScoredObjects]) -> int:
    """Objects that are missed and boxes that name nothing, at the score from which boxes are shown."""
    objects, boxes = matches(pair, _SHOWN_SCORE)
    return len(pair[0].boxes) - len(objects) + int((pair[1].scores >= _SHOWN_SCORE).sum()) - len(boxes)


def _curves(precision: AveragePrecision) -> Chart:
    """Precision over recall, the mean over the classes, at three overlaps."""
    there = precision.precision[0, 0] > -1
    series = []
    for number in (0, 5, 8):
        means = precision.precision[number][:, there].mean(axis=1)
        points = [(place / 100, float(mean)) for place, mean in enumerate(means)]
        series.append(Series(f"overlap {OVERLAPS[number]:.2f}", points))
    caption = (
        "The mean over the classes: what share of the boxes is right at the score that finds a share of the "
        "objects, by how far a box must overlap its object."
    )
    return Chart("precision_recall", "Precision and recall", caption, "lines", "recall", "precision", series)


def _table(precision: AveragePrecision, pairs: Pairs, classes: list[str]) -> TextTable:
    counts = numpy.bincount(
        numpy.concatenate([truth.classes for truth, _ in pairs]).astype(int), minlength=len(classes)
    )
    rows = []
    for number, name in enumerate(classes):
        values = [precision.of_class(number), precision.of_class(number, 0.5)]
        rows.append([name, str(counts[number]), *("" if v is None else f"{v:.3f}" for v in values)])
    columns = ["class", "objects", "average precision", "at an overlap of .5"]
    return TextTable("classes", "Classes", "Average precision on the test split.", columns, rows)


def _gallery(
    task: Detection,
    split: ShardSplit,
    pairs: Pairs,
    classes: list[str],
    places: list[int],
    name: str,
    title: str,
    caption: str,
) -> Gallery:
    """Each image with the true boxes, and again with the detector's."""
    images = []
    for place in places:
        read = split.read(numpy.array([place]))
        shown = pixels(task.inputs({task.image: torch.from_numpy(read[task.image])})[0])
        truth, found = pairs[place]
        for what, objects in (("truth", truth), ("answer", found)):
            images.append(AnnotatedImage(what, shown, boxes=_boxes(objects, classes)))
    caption = f"{caption}: the truth, and beside it the boxes with a score of {_SHOWN_SCORE} or more."
    return Gallery(name, title, caption, images)


def _boxes(objects: Objects, classes: list[str]) -> list[Box]:
    scores = objects.scores.tolist() if isinstance(objects, ScoredObjects) else [None] * len(objects.boxes)
    return [
        Box(*box, label=classes[number], score=score)
        for box, number, score in zip(objects.boxes.tolist(), objects.classes.tolist(), scores, strict=True)
        if score is None or score >= _SHOWN_SCORE
    ]
