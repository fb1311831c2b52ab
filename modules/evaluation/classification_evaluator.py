"""Classifiers: accuracy and loss, the confusion matrix, the worst mistakes, the first layer's filters.

Beside what every evaluation leaves:

metrics.json     also {"per_class": {class: accuracy}}
confusion.json   {"classes", "matrix"}, rows are the truth
filters.npy      the first layer's [filters, channels, height, width], where it has any
mistakes/, samples/      a PNG each, and mistakes.json, samples.json: [{"file", "index", "truth",
                 "prediction", "probability", "truth_probability"}]; absent where samples are no images
confusion.png, mistakes.png, samples.png     the same at a glance
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy
import torch
from jaxtyping import Float
from torch import Tensor

from modules.configuration.errors import UserError
from modules.configuration.plans.run_plan import Plan
from modules.configuration.schema.data_settings import DataSettings, FieldSettings
from modules.datamodules.shard_loader import EvaluationLoader
from modules.datamodules.shard_set import ShardSet
from modules.evaluation.classification_plots import plot_confusion, plot_mistakes_and_samples
from modules.evaluation.filter_images import first_layer_filters
from modules.evaluation.findings import Findings, write_json
from modules.evaluation.predictions import Predictions, predict
from modules.tasks.task import Task

BATCH_SIZE = 500


@dataclass(frozen=True, kw_only=True)
class ClassificationFindings(Findings):
    """What an evaluation of a classifier found.

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
        kept = super().save(folder)
        found = self.predictions
        of_class = zip(self.classes, found.per_class, strict=True)
        # A class without samples has no accuracy and is left out.
        per_class = {name: value for name, value in of_class if not math.isnan(value)}
        write_json(self.metrics | {"per_class": per_class}, folder / "metrics.json")
        matrix = {"classes": self.classes, "matrix": found.confusion.tolist()}
        write_json(matrix, folder / "confusion.json")
        plot_confusion(found.confusion, self.classes, folder / "confusion.png")
        kept += [folder / "confusion.json", folder / "confusion.png"]
        if self.filters is not None:
            numpy.save(folder / "filters.npy", self.filters.numpy(), allow_pickle=False)
        if self.show is not None:
            kept += plot_mistakes_and_samples(found, self.classes, self.show, folder)
        return kept


def evaluate(task: Task, data: ShardSet, settings: DataSettings, plan: Plan) -> ClassificationFindings:
    """Runs what is served over the test split.

    Raises:
        UserError: if there is not exactly one field with classes, the split is empty or a label is no class.
    """
    label, shown = label_field(settings.fields), image_field(settings.fields)
    split = data.split("test")
    loader = EvaluationLoader(split, BATCH_SIZE)
    found = predict(task.served().eval(), task.inputs, loader, label)

    def show(field: str, places: list[int]) -> Tensor:
        return torch.from_numpy(split.read(numpy.array(places))[field])

    (first, *_) = loader
    return ClassificationFindings(
        metrics={"accuracy": found.accuracy, "loss": found.loss, "num_samples": found.num_samples},
        predictions=found,
        classes=settings.fields[label].classes or [],
        filters=first_layer_filters(task.model, tuple(task.inputs(first).shape[1:])),
        show=None if shown is None else partial(show, shown),
    )


def label_field(fields: Mapping[str, FieldSettings]) -> str:
    """The field that holds the class.

    Raises:
        UserError: if there is none or more than one.
    """
    found = [name for name, settings in fields.items() if settings.classes]
    if len(found) != 1:
        raise UserError(
            f"data.fields has {len(found)} fields with classes, and an evaluation needs one",
            "Give `classes` to the field that is to be predicted.",
        )
    return found[0]


def image_field(fields: Mapping[str, FieldSettings]) -> str | None:
    """The first field that can be shown: grey or colour, by its axes; None where there is none."""
    for name, settings in fields.items():
        grey = settings.axes == ["height", "width"]
        if grey or (settings.axes == ["channel", "height", "width"] and settings.shape[0] in (1, 3)):
            return name
    return None
