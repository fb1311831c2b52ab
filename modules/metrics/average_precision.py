"""Mean average precision of detectors, as COCO has it: Lin et al. (2014), *Microsoft COCO*, arXiv 1405.0312.

The arithmetic is the library's (`faster_coco_eval`, the C++ rewriting of pycocotools); here are its inputs
and what is read of its answers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy
from jaxtyping import Float, Int

OVERLAPS = numpy.linspace(0.5, 0.95, 10)
"""Intersections over union above which a box is right."""


@dataclass(frozen=True)
class Objects:
    """The objects of one image.

    Attributes:
        boxes: x0, y0, x1, y1 in pixels.
        classes: numbers.
    """

    boxes: Float[numpy.ndarray, "objects 4"]
    classes: Int[numpy.ndarray, " objects"]


@dataclass(frozen=True)
class ScoredObjects(Objects):
    """What a detector says of an image.

    Attributes:
        scores: of each object.
    """

    scores: Float[numpy.ndarray, " objects"]


@dataclass(frozen=True)
class AveragePrecision:
    """How well objects were found.

    Attributes:
        precision: at recalls of 0, 0.01 ... 1, [overlaps, recalls, classes]; -1 of a class without objects.
        recall: the highest, [overlaps, classes]; likewise.
    """

    precision: Float[numpy.ndarray, "overlaps recalls classes"]
    recall: Float[numpy.ndarray, "overlaps classes"]

    def mean(self, overlap: float | None = None) -> float:
        """Over all classes, and all overlaps or one of them."""
        rows = self.precision if overlap is None else self.precision[numpy.isclose(OVERLAPS, overlap)]
        kept = rows[rows > -1]
        return float(kept.mean()) if kept.size else 0.0

    def of_class(self, number: int, overlap: float | None = None) -> float | None:
        """Of one class; None where it has no objects."""
        rows = self.precision[:, :, number]
        rows = rows if overlap is None else rows[numpy.isclose(OVERLAPS, overlap)]
        return float(rows.mean()) if (rows > -1).all() else None


def average_precision(
    truth: Sequence[Objects],
    found: Sequence[ScoredObjects],
    num_classes: int,
    max_boxes: int = 100,
    below_px: float = 1e5,
) -> AveragePrecision:
    """Compares what is there with what was found.

    Args:
        truth: the objects of each image.
        found: what a detector says, image by image, with scores.
        num_classes: how many there are.
        max_boxes: the most probable ones of an image that count.
        below_px: of objects whose longer side is less; boxes of others are neither right nor wrong.
    """
    from faster_coco_eval import COCO, COCOeval_faster  # only evaluations wait for it

    # What COCO takes for an object's area is here its longer side, squared, as `below_px` asks.
    annotations = [
        {"id": 0, "image_id": image, "category_id": int(number), "bbox": _as_sides(box), "iscrowd": 0,
         "area": float((box[2:] - box[:2]).max()) ** 2}
        for image, objects in enumerate(truth)
        for box, number in zip(objects.boxes, objects.classes, strict=True)
    ]  # fmt: skip
    for number, annotation in enumerate(annotations, 1):  # COCO takes number 0 for none
        annotation["id"] = number
    shape = (len(OVERLAPS), 101, num_classes)
    if not annotations or not any(len(objects.boxes) for objects in found):
        there = {one["category_id"] for one in annotations if one["area"] < below_px**2}
        absent = numpy.array([number not in there for number in range(num_classes)])
        precision = numpy.where(absent, -1.0, numpy.zeros(shape))
        return AveragePrecision(precision, precision[:, 0])
    images = [{"id": number} for number in range(len(truth))]
    categories = [{"id": number, "name": str(number)} for number in range(num_classes)]
    known = COCO({"images": images, "annotations": annotations, "categories": categories})
    rows = [
        numpy.column_stack([
            numpy.full(len(objects.boxes), image), objects.boxes[:, :2],
            objects.boxes[:, 2:] - objects.boxes[:, :2], objects.scores, objects.classes,
        ])
        for image, objects in enumerate(found)
    ]  # fmt: skip
    evaluation = COCOeval_faster(known, known.loadRes(numpy.concatenate(rows)), "bbox", print_function=_quiet)
    evaluation.params.maxDets = [max_boxes]
    evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, below_px**2 - 1e-3]], ["all"]
    evaluation.evaluate()
    evaluation.accumulate()
    return AveragePrecision(
        evaluation.eval["precision"][:, :, :, 0, 0], evaluation.eval["recall"][:, :, 0, 0]
    )


def _as_sides(box: numpy.ndarray) -> list[float]:
    left, top, right, bottom = box.tolist()
    return [left, top, right - left, bottom - top]


def _quiet(*_: object) -> None:
    pass
