"""What masks alone say of boxes and classes: who segments can detect and classify, as far as this goes.

Each connected region of a class in the net's mask is an object: its box is the region's, its score the mean
probability of the class in it. A class is in the image as surely as at the pixel that is surest of it.

metrics.json holds, all of the test split, beside those of nets that learn boxes or classes directly:

boxes_mean_average_precision, boxes_average_precision_50    as of a detector
labels_mean_average_precision                               as of a multi-label classifier
"""

from typing import ClassVar, Literal

import numpy
import torch
from jaxtyping import Float
from scipy import ndimage
from torch import Tensor

from modules.configuration.plans.run_plan import Plan
from modules.datamodules.shard_loader import EvaluationLoader
from modules.datamodules.shard_set import ShardSet
from modules.evaluation.classification_evaluator import classes_of
from modules.evaluation.findings import Findings
from modules.metrics.average_precision import Objects, ScoredObjects, average_precision
from modules.metrics.ranking import ranking_precision
from modules.tasks.segmentation import Segmentation


class MasksAsBoxesEvaluator:
    """Runs a segmenting net over the test split of data that have boxes as well.

    Args:
        boxes: the field of boxes.
        labels: the field of their class numbers, which in the mask are one higher, above the ground.
        batch_size: images at a time.
        min_pixels: of a region that is an object.
    """

    metrics: ClassVar[dict[str, Literal["max", "min"]]] = {
        "boxes_mean_average_precision": "max",
        "boxes_average_precision_50": "max",
        "labels_mean_average_precision": "max",
    }

    def __init__(
        self, boxes: str = "boxes", labels: str = "labels", batch_size: int = 50, min_pixels: int = 12
    ) -> None:
        self.boxes = boxes
        self.labels = labels
        self.batch_size = batch_size
        self.min_pixels = min_pixels

    @torch.no_grad()
    def evaluate(self, task: Segmentation, data: ShardSet, plan: Plan) -> Findings:
        """The figures.

        Raises:
            UserError: the labels have no classes.
        """
        num_classes = len(classes_of(plan.data.fields, self.labels))
        truth, found, surest, present = [], [], [], []
        for batch in EvaluationLoader(data.split("test"), self.batch_size):
            probabilities = task.logits(batch).softmax(dim=1)
            surest.append(probabilities[:, 1:].flatten(2).amax(2))
            for row, length in enumerate(batch[f"{self.boxes}_length"].tolist()):
                labels = batch[self.labels][row, :length]
                truth.append(Objects(batch[self.boxes][row, :length].numpy().astype(float), labels.numpy()))
                found.append(regions(probabilities[row], self.min_pixels))
                present.append(torch.zeros(num_classes, dtype=torch.bool).index_fill(0, labels, True))
        precision = average_precision(truth, found, num_classes)
        labels = ranking_precision(torch.cat(surest), torch.stack(present))
        return Findings(
            {
                "boxes_mean_average_precision": precision.mean(),
                "boxes_average_precision_50": precision.mean(0.5),
                "labels_mean_average_precision": float(torch.nanmean(labels)),
            }
        )


def regions(probabilities: Float[Tensor, "classes height width"], min_pixels: int) -> ScoredObjects:
    """The connected regions of each class but the ground, neighbours by edge or corner, as objects.

    Args:
        probabilities: of each class, the ground first.
        min_pixels: of a region.
    """
    mask = probabilities.argmax(0).numpy()
    boxes, classes, scores = [], [], []
    for number in numpy.unique(mask[mask > 0]).tolist():
        numbered = numpy.zeros(mask.shape, numpy.int32)
        ndimage.label(mask == number, structure=numpy.ones((3, 3)), output=numbered)
        for region, (rows, columns) in enumerate(ndimage.find_objects(numbered), 1):
            inside = numbered[rows, columns] == region
            if inside.sum() >= min_pixels:
                boxes.append([columns.start, rows.start, columns.stop, rows.stop])
                classes.append(number - 1)
                scores.append(float(probabilities[number].numpy()[rows, columns][inside].mean()))
    return ScoredObjects(
        numpy.array(boxes, float).reshape(-1, 4), numpy.array(classes, int), numpy.array(scores, float)
    )
