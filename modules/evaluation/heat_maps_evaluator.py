"""Heat maps: how many objects are found and named, and the maps over the images.

metrics.json holds, of the test split, an object being named where a peak of its class lies within half its
size from its middle:

f1                  harmonic mean of precision and recall, at the score that is best on the validation split
precision, recall   share of the peaks that name an object, and of the objects that are named
found               share of the objects that are found, whatever they are called
score               from which on a peak counts
"""

from typing import ClassVar, Literal

import numpy
import torch
from torch import Tensor

from modules.configuration.plans.run_plan import Plan
from modules.datamodules.shard_loader import EvaluationLoader
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.shard_split import ShardSplit
from modules.evaluation.classification_evaluator import classes_of
from modules.evaluation.exhibits import AnnotatedImage, Box, Gallery
from modules.evaluation.findings import Chart, Findings, Series
from modules.evaluation.image_tiles import pixels
from modules.metrics.named_peaks import ObjectsAndPeaks, PeakCounts, count_peaks
from modules.tasks.heat_maps import HeatMaps

_NUM_SHOWN, _LARGEST_PX = 6, 200


class HeatMapsEvaluator:
    """Runs the net over pages, one at a time, as each has a size of its own.

    Args:
        num_scores: that are tried on the validation split, evenly between 0 and 1.
    """

    metrics: ClassVar[dict[str, Literal["max", "min"]]] = {
        "f1": "max",
        "precision": "max",
        "recall": "max",
        "found": "max",
    }
    charts: ClassVar[tuple[str, ...]] = ("precision_recall",)

    def __init__(self, num_scores: int = 50) -> None:
        self.num_scores = num_scores

    @torch.no_grad()
    def evaluate(self, task: HeatMaps, data: ShardSet, plan: Plan) -> Findings:
        """Figures, the curve of precision and recall, and maps over pages.

        Raises:
            UserError: the labels have no classes.
        """
        classes = classes_of(plan.data.fields, task.labels)
        validation, test = (self._look(task, data.split(name)) for name in ("validation", "test"))
        tried = ((numpy.arange(self.num_scores) + 0.5) / self.num_scores).tolist()
        half = task.object_px / 2
        best = max(tried, key=lambda score: count_peaks(validation, score, half).f1)
        figures = _figures(count_peaks(test, best, half)) | {"score": best}
        on_test = [_figures(count_peaks(test, score, half)) for score in tried]
        points = [(one["recall"], one["precision"]) for one in on_test if one["recall"] > 0]
        caption = "Of the test split, by the score from which a peak counts."
        series = [Series("peaks", points)]
        curve = Chart(
            "precision_recall", "Precision and recall", caption, "lines", "recall", "precision", series
        )
        gallery = _gallery(task, data.split("test"), test, classes, figures["score"])
        return Findings(figures, charts=[curve], exhibits=[gallery])

    def _look(self, task: HeatMaps, split: ShardSplit) -> list[ObjectsAndPeaks]:
        return [
            image
            for batch in EvaluationLoader(split, 1)
            for image in task.objects_and_peaks(batch, task.model(task.inputs(batch)))
        ]


def _figures(counts: PeakCounts) -> dict[str, float]:
    return {
        "f1": counts.f1,
        "precision": counts.precision,
        "recall": counts.recall,
        "found": counts.found / counts.objects if counts.objects else 0.0,
    }


def _gallery(
    task: HeatMaps, split: ShardSplit, found: list[ObjectsAndPeaks], classes: list[str], min_score: float
) -> Gallery:
    """Pages with what was found, and the map of each class that is on them."""
    shown = []
    for place in numpy.linspace(0, len(found) - 1, _NUM_SHOWN).astype(int).tolist():
        read = {name: torch.from_numpy(values) for name, values in split.read(numpy.array([place])).items()}
        page = task.inputs(read)[0]
        image, half = found[place], task.object_px / 2
        boxes = [
            Box(x - half, y - half, x + half, y + half, classes[number], score)
            for (x, y), number, score in zip(
                image.places.tolist(), image.classes.tolist(), image.scores.tolist(), strict=True
            )
            if score >= min_score
        ]
        shown.append(AnnotatedImage("found", pixels(page), boxes=boxes))
        heat = task.heat(read)[0]
        for number in sorted(set(image.labels.tolist())):
            shown.append(
                AnnotatedImage(
                    f"map of {classes[number]}", pixels(page), heat=_at_pixels(task, heat[number], page)
                )
            )
    caption = f"Peaks with a score of {min_score:.2f} or more, and the map of each class that is on the page."
    return Gallery("heat_maps", "Heat maps", caption, shown)


def _at_pixels(task: HeatMaps, heat: Tensor, page: Tensor) -> numpy.ndarray:
    """The map at each pixel of the page: that of the nearest window."""
    height, width = page.shape[1:]
    rows, columns = (
        ((torch.arange(size) + 0.5 - task.model.first_px) / task.model.stride_px)
        .round()
        .long()
        .clamp(0, most - 1)
        for size, most in zip((height, width), heat.shape, strict=True)
    )
    return heat[rows][:, columns].numpy()
