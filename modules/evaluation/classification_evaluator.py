"""Classifiers: accuracy and loss, the confusion matrix, the worst mistakes, the first layer's filters.

Beside what every evaluation leaves:

confusion.json   {"classes", "matrix"}, rows are the truth
filters.npy      the first layer's [filters, channels, height, width], where it has any
mistakes/, samples/      a PNG each, and mistakes.json, samples.json: [{"file", "index", "truth",
                 "prediction", "probability", "truth_probability"}]; absent where samples are no images
confusion.png, mistakes.png, samples.png     the same at a glance
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

import numpy
import torch
from jaxtyping import Float
from torch import Tensor

from modules.configuration.errors import UserError
from modules.configuration.plans.run_plan import Plan
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.shard_loader import EvaluationLoader
from modules.datamodules.shard_set import ShardSet
from modules.evaluation.classification_plots import plot_confusion, plot_mistakes_and_samples
from modules.evaluation.exhibits import Exhibit, TextTable
from modules.evaluation.filter_images import first_layer_filters
from modules.evaluation.findings import Findings, write_json
from modules.evaluation.predictions import Predictions, predict
from modules.tasks.classification import Classification
from modules.tasks.optional_methods import NamesClasses

_NUM_ROWS, _NUM_NUMBERS = 10, 32
"""Rows of a table that are shown in each list, and numbers of each."""
_BLANK = "\N{FIGURE SPACE}"
"""As wide as a digit."""


@dataclass(frozen=True, kw_only=True)
class ClassificationDetails:
    """Every prediction of a classifier, and what is shown of them.

    Attributes:
        predictions: for the test split.
        classes: names.
        filters: weights of the first layer, where they can be shown.
        show: from positions in the split to images, [image, (channel,) height, width]; None where
            samples are no images.
    """

    predictions: Predictions
    classes: list[str]
    filters: Float[Tensor, "filters channels height width"] | None
    show: Callable[[list[int]], Tensor] | None

    def save(self, folder: Path) -> list[Path]:
        found = self.predictions
        matrix = {"classes": self.classes, "matrix": found.confusion.tolist()}
        write_json(matrix, folder / "confusion.json")
        plot_confusion(found.confusion, self.classes, folder / "confusion.png")
        kept = [folder / "confusion.json", folder / "confusion.png"]
        if self.filters is not None:
            numpy.save(folder / "filters.npy", self.filters.numpy(), allow_pickle=False)
        if self.show is not None:
            kept += plot_mistakes_and_samples(found, self.classes, self.show, folder)
        return kept


class ClassificationEvaluator:
    """Runs what is served over the test split.

    Args:
        batch_size: samples at a time.
    """

    metrics: ClassVar[dict[str, Literal["max", "min"]]] = {"accuracy": "max", "loss": "min"}

    def __init__(self, batch_size: int = 500) -> None:
        self.batch_size = batch_size

    def evaluate(self, task: Classification, data: ShardSet, plan: Plan) -> Findings:
        """Figures of a classifier.

        Raises:
            UserError: the task's label has no classes, the split is empty or a label is no class.
        """
        fields, split = plan.data.fields, data.split("test")
        classes, shown = classes_of(fields, task.label), image_field(fields)
        found = predictions_of_test(task, data, self.batch_size)

        def show(field: str, places: list[int]) -> Tensor:
            return torch.from_numpy(split.read(numpy.array(places))[field])

        first = next(iter(EvaluationLoader(split, 1)))
        details = ClassificationDetails(
            predictions=found,
            classes=classes,
            filters=first_layer_filters(task.model, tuple(task.inputs(first).shape[1:])),
            show=None if shown is None else partial(show, shown),
        )
        is_row = shown is None and task.image in fields and len(fields[task.image].shape) == 1
        exhibits: list[Exhibit] = (
            _rows(found, task.image, fields[task.image].units, classes, data) if is_row else []
        )
        figures = {"accuracy": found.accuracy, "loss": found.loss}
        return Findings(figures, details=[details], exhibits=exhibits)


def _rows(found: Predictions, field: str, units: str, classes: list[str], data: ShardSet) -> list[Exhibit]:
    """Of a table, the rows of the worst mistakes, and rows spread over the split."""
    tables = (
        ("mistakes", "Worst mistakes", "most confident first", found.worst_mistakes(_NUM_ROWS)),
        ("rows", "Rows and answers", "spread over the test split", found.spread_samples(_NUM_ROWS)),
    )
    exhibits: list[Exhibit] = []
    for name, title, order, places in tables:
        if not places:
            continue
        values = data.split("test").read(numpy.array(places))[field]
        written = [[f"{number:g}" for number in row[:_NUM_NUMBERS]] for row in values.tolist()]
        # The numbers of all rows stand below each other.
        widths = [max(map(len, column)) for column in zip(*written, strict=True)]
        rows = []
        for place, numbers in zip(places, written, strict=True):
            answer = int(found.prediction[place])
            aligned = [text.rjust(width, _BLANK) for text, width in zip(numbers, widths, strict=True)]
            rows.append(
                [
                    _BLANK.join(aligned) + (" ..." if values.shape[1] > _NUM_NUMBERS else ""),
                    classes[int(found.truth[place])],
                    classes[answer],
                    f"{float(found.probabilities[place, answer]):.1%}",
                ]
            )
        caption = f"The {values.shape[1]} numbers of each row ({units}), {order}."
        exhibits.append(TextTable(name, title, caption, [field, "truth", "answer", "probability"], rows))
    return exhibits


def predictions_of_test(task: NamesClasses, data: ShardSet, batch_size: int) -> Predictions:
    """What a classifier makes of the test split.

    Raises:
        UserError: the split is empty or a label is no class.
    """
    loader = EvaluationLoader(data.split("test"), batch_size)
    return predict(task.probabilities, loader, task.label)


def classes_of(fields: Mapping[str, FieldSettings], label: str) -> list[str]:
    """The names of the classes that a field numbers.

    Raises:
        UserError: it has none.
    """
    if label not in fields or not (classes := fields[label].classes):
        raise UserError(f"data.fields.{label} has no classes", "Set task.label to the field that has them")
    return classes


def image_field(fields: Mapping[str, FieldSettings]) -> str | None:
    """The first field that can be shown: grey or colour, by its axes; None where there is none."""
    for name, settings in fields.items():
        grey = settings.axes == ["height", "width"]
        if grey or (settings.axes == ["channel", "height", "width"] and settings.shape[0] in (1, 3)):
            return name
    return None
