"""Segmentation: intersection over union by class and by size of object, masks over images, the worst misses.

metrics.json holds, all of the test split:

mean_dice              mean over the classes but the first, the ground, of the Dice coefficient
mean_iou               mean over the classes, the ground among them, of intersection over union
accuracy               share of the pixels whose class is right
loss                   cross-entropy of a pixel, in nats
iou_below_16_px        of objects whose longer side is below 16 px: pixels of their class within their boxes,
                       intersection over union, all objects together; where the data have boxes
mean_iou_<split>       the same of each further split
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import ClassVar, Literal

import numpy
import torch
from jaxtyping import Float, Int
from torch import Tensor

from modules.configuration.plans.run_plan import Plan
from modules.datamodules.shard_loader import EvaluationLoader
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.shard_split import ShardSplit
from modules.evaluation.classification_evaluator import classes_of
from modules.evaluation.exhibits import AnnotatedImage, Gallery, Mask, TextTable
from modules.evaluation.findings import Chart, Findings, Series
from modules.evaluation.image_tiles import pixels
from modules.metrics.mean import Mean
from modules.metrics.overlap import (
    confusion_matrix,
    dice,
    intersection_over_union,
    mean_intersection_over_union,
)
from modules.tasks.segmentation import Segmentation

_SIDES_PX = (0, 16, 32, 64, 1 << 20)
"""Between them lie the sizes of objects that are told apart, by their longer side."""
_NUM_SHOWN = 8


@dataclass
class _Found:
    """What a split gave.

    Attributes:
        confusion: of all pixels, [classes, classes], rows are the truth.
        loss: of a pixel.
        overlaps: for each range of sizes, pixels in the intersection and in the union.
        scores: of each image, in order: mean intersection over union of the classes that are in it.
    """

    confusion: Int[Tensor, "classes classes"]
    loss: Mean = field(default_factory=lambda: Mean(torch.zeros(()), 0))
    overlaps: Int[Tensor, "ranges 2"] = field(
        default_factory=lambda: torch.zeros((len(_SIDES_PX) - 1, 2), dtype=torch.int64)
    )
    scores: list[float] = field(default_factory=list)


class SegmentationEvaluator:
    """Runs the net over the test split, and over others that are asked for.

    Args:
        batch_size: images at a time.
        other_splits: measured too, such as one of objects that training never saw.
    """

    metrics: ClassVar[dict[str, Literal["max", "min"]]] = {
        "mean_iou": "max",
        "mean_dice": "max",
        "accuracy": "max",
        "loss": "min",
        "iou_below_16_px": "max",
    }
    charts: ClassVar[tuple[str, ...]] = ("iou_by_size",)

    def __init__(self, batch_size: int = 50, other_splits: tuple[str, ...] | list[str] = ()) -> None:
        self.batch_size = batch_size
        self.other_splits = other_splits

    @torch.no_grad()
    def evaluate(self, task: Segmentation, data: ShardSet, plan: Plan) -> Findings:
        """Figures, a table of classes, a chart by size, and masks over images.

        Raises:
            UserError: the mask has no classes, or there is no such split.
        """
        fields = plan.data.fields
        classes = classes_of(fields, task.mask)
        boxes = next((name for name, about in fields.items() if about.boxes_of == task.image), None)
        split = data.split("test")
        found = self._measure(task, split, boxes)
        hits = int(found.confusion.trace())
        figures = {
            "mean_iou": mean_intersection_over_union(found.confusion),
            "mean_dice": float(dice(found.confusion)[1:].nanmean()),
            "accuracy": hits / int(found.confusion.sum()),
            "loss": found.loss.value,
        }
        charts = []
        if boxes is not None:
            figures["iou_below_16_px"] = _share(found.overlaps[0])
            charts.append(_by_size(found.overlaps))
        for name in self.other_splits:
            other = self._measure(task, data.split(name), boxes)
            figures[f"mean_iou_{name}"] = mean_intersection_over_union(other.confusion)
        order = torch.tensor(found.scores).argsort().tolist()
        spread = torch.linspace(0, split.num_samples - 1, _NUM_SHOWN).long().tolist()
        exhibits = [
            _gallery(task, split, classes, spread, "masks", "Masks", "Images spread over the test split"),
            _gallery(
                task, split, classes, order[:_NUM_SHOWN], "misses", "Worst misses",
                "Images with the lowest intersection over union, the lowest first",
            ),
            _table(found.confusion, classes),
        ]  # fmt: skip
        return Findings(figures, charts=charts, exhibits=exhibits)

    def _measure(self, task: Segmentation, split: ShardSplit, boxes: str | None) -> _Found:
        count = task.num_classes
        found = _Found(torch.zeros((count, count), dtype=torch.int64))
        for batch in EvaluationLoader(split, self.batch_size):
            logits, truth, keep = task.logits(batch), batch[task.mask].long(), task.keep(batch)
            prediction = logits.argmax(dim=1)
            found.loss = found.loss + task.cost(logits, truth, keep)
            for row in range(len(truth)):
                kept = None if keep is None else keep[row]
                confusion = confusion_matrix(prediction[row], truth[row], count, kept)
                found.confusion += confusion
                there = confusion.sum(1) > 0
                found.scores.append(float(intersection_over_union(confusion)[there].mean()))
                if boxes is not None:
                    used = batch[boxes][row, : int(batch[f"{boxes}_length"][row])]
                    for place, overlap in _overlaps(prediction[row], truth[row], used):
                        found.overlaps[place] += overlap
        return found


def _overlaps(
    prediction: Int[Tensor, "height width"],
    truth: Int[Tensor, "height width"],
    boxes: Float[Tensor, "boxes 4"],
) -> Iterator[tuple[int, Tensor]]:
    """For each box the range of its size, and the intersection and union of its object's class within it.

    The object's class is the commonest in the box that is not the ground.
    """
    for left, top, right, bottom in boxes.round().int().tolist():
        inside, answer = truth[top:bottom, left:right], prediction[top:bottom, left:right]
        counts = inside.flatten().bincount()
        if len(counts) < 2:
            continue  # others hide all of it
        object_class = int(counts[1:].argmax()) + 1
        is_there, is_said = inside == object_class, answer == object_class
        longer = max(right - left, bottom - top)
        place = next(number for number, (low, high) in enumerate(pairwise(_SIDES_PX)) if low <= longer < high)
        yield place, torch.stack([(is_there & is_said).sum(), (is_there | is_said).sum()])


def _share(overlap: Int[Tensor, "2"]) -> float:
    intersection, union = overlap.tolist()
    return intersection / union if union else 0.0


def _by_size(overlaps: Int[Tensor, "ranges 2"]) -> Chart:
    points = [
        (float(max(low, _SIDES_PX[1] // 2)), _share(overlap))
        for (low, _), overlap in zip(pairwise(_SIDES_PX), overlaps, strict=True)
        if overlap[1] > 0
    ]
    caption = (
        "Of the pixels within the boxes of objects, by the longer side of the box: below 16 px (at 8), from "
        "16, from 32 and from 64 px."
    )
    return Chart(
        "iou_by_size", "Intersection over union by size", caption, "lines", "longer side in px, from",
        "intersection over union", [Series("objects", points)], log_x=True,
    )  # fmt: skip


def _table(confusion: Int[Tensor, "classes classes"], classes: list[str]) -> TextTable:
    """A row for each class: how well it is found, and what it is taken for most often."""
    overlaps = intersection_over_union(confusion).tolist()
    shares = (confusion.sum(1) / confusion.sum()).tolist()
    rows = []
    for number, name in enumerate(classes):
        others = confusion[number].clone()
        others[number] = 0
        most = int(others.argmax())
        wrong = (
            ""
            if not others[most]
            else f"{classes[most]} {int(others[most]) / int(confusion[number].sum()):.1%}"
        )
        overlap = "" if overlaps[number] != overlaps[number] else f"{overlaps[number]:.3f}"
        rows.append([name, overlap, f"{shares[number]:.2%}", wrong])
    return TextTable(
        "classes", "Classes", "Of the pixels of the test split.",
        ["class", "intersection over union", "share of pixels", "most often taken for"], rows,
    )  # fmt: skip


def _gallery(
    task: Segmentation,
    split: ShardSplit,
    classes: list[str],
    places: list[int],
    name: str,
    title: str,
    caption: str,
) -> Gallery:
    """Each image with the true mask, and again with the net's; of a volume the middle plane."""
    images = []
    for place in places:
        batch = {name: torch.from_numpy(values) for name, values in split.read(numpy.array([place])).items()}
        shown = pixels(_middle(task.inputs(batch)[0], 3))
        for what, mask in (("truth", batch[task.mask][0]), ("answer", task.logits(batch)[0].argmax(0))):
            plane = _middle(mask, 2)
            present = [number for number in plane.unique().tolist() if number != 0]
            masks = [Mask(classes[number], (plane == number).numpy()) for number in present]
            images.append(AnnotatedImage(what, shown, masks=masks))
    return Gallery(name, title, f"{caption}: the truth, and beside it the net's answer.", images)


def _middle(values: Tensor, num_axes: int) -> Tensor:
    """Of a volume, the plane in the middle of its depth."""
    return values if values.ndim == num_axes else values.select(-3, values.shape[-3] // 2)
