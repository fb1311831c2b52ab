"""Multi-label classification: how far up images stand that show a class, and those with most mistakes.

metrics.json holds, all of the test split:

mean_average_precision     mean over the classes of the average precision of the ranking of all images
f1                         of saying that a class is there where its probability is a half or more, over all
                           classes together
mean_average_precision_<split>    of each further split
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
from modules.evaluation.exhibits import AnnotatedImage, Gallery, TextTable
from modules.evaluation.findings import Findings
from modules.evaluation.image_tiles import pixels
from modules.metrics.ranking import ranking_precision
from modules.tasks.multi_label_classification import MultiLabelClassification

_NUM_SHOWN = 8


class MultiLabelEvaluator:
    """Runs the net over the test split, and over others that are asked for.

    Args:
        batch_size: images at a time.
        other_splits: measured too, such as one of objects that training never saw.
    """

    metrics: ClassVar[dict[str, Literal["max", "min"]]] = {"mean_average_precision": "max", "f1": "max"}

    def __init__(self, batch_size: int = 50, other_splits: tuple[str, ...] | list[str] = ()) -> None:
        self.batch_size = batch_size
        self.other_splits = other_splits

    @torch.no_grad()
    def evaluate(self, task: MultiLabelClassification, data: ShardSet, plan: Plan) -> Findings:
        """Figures, a table of classes, and the images with most mistakes.

        Raises:
            UserError: the labels have no classes, or there is no such split.
        """
        classes = classes_of(plan.data.fields, task.labels)
        split = data.split("test")
        probabilities, present = self._answers(task, split)
        precision = ranking_precision(probabilities, present)
        said = probabilities >= 0.5
        figures = {
            "mean_average_precision": float(torch.nanmean(precision)),
            "f1": 2 * int((said & present).sum()) / max(1, int(said.sum() + present.sum())),
        }
        for name in self.other_splits:
            other = ranking_precision(*self._answers(task, data.split(name)))
            figures[f"mean_average_precision_{name}"] = float(torch.nanmean(other))
        rows = [
            [name, str(int(count)), "" if value != value else f"{value:.3f}"]
            for name, count, value in zip(classes, present.sum(0), precision.tolist(), strict=True)
        ]
        table = TextTable(
            "classes", "Classes", "On the test split.", ["class", "images", "average precision"], rows
        )
        worst = (said != present).sum(1).argsort(descending=True, stable=True)[:_NUM_SHOWN].tolist()
        shown = []
        for place in worst:
            image = split.read(numpy.array([place]))[task.image]
            missed = [classes[number] for number in (present[place] & ~said[place]).nonzero()[:, 0].tolist()]
            wrong = [classes[number] for number in (said[place] & ~present[place]).nonzero()[:, 0].tolist()]
            label = f"missed: {', '.join(missed) or 'none'}; not there: {', '.join(wrong) or 'none'}"
            shown.append(AnnotatedImage(label, pixels(task.inputs({task.image: torch.from_numpy(image)})[0])))
        gallery = Gallery("misses", "Worst misses", "The test images with most mistakes.", shown)
        return Findings(figures, exhibits=[gallery, table])

    def _answers(self, task: MultiLabelClassification, split: ShardSplit) -> tuple[Tensor, Tensor]:
        """The probability of each class, and which are there, [samples, classes]."""
        found = [
            (task.logits(batch).sigmoid(), task.present(batch))
            for batch in EvaluationLoader(split, self.batch_size)
        ]
        probabilities, present = map(torch.cat, zip(*found, strict=True))
        return probabilities, present
