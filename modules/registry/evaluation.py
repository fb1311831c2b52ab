"""The score of a classifier on a test split: every sample once, in the split's order.

Anything that gives probabilities can be scored: the model with its saved weights, or an exported program.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from dataclasses import field as attribute

import torch
from torch import Tensor
from torchmetrics import MeanMetric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix

from modules.configuration.errors import UserError
from modules.configuration.settings import FieldSettings

NUM_MISTAKES = 24
NUM_SAMPLES = 24
NUM_EXAMPLES = 64


@dataclass(frozen=True)
class Prediction:
    """One sample of the split and what was made of it.

    Attributes:
        index: number of the sample in its source.
        truth: its class.
        prediction: the most probable class.
        probability: of the predicted class.
        truth_probability: of the true class.
        picture: the sample itself, [channels, height, width] as stored; None where samples are no pictures.
    """

    index: int
    truth: int
    prediction: int
    probability: float
    truth_probability: float
    picture: Tensor | None = attribute(repr=False, compare=False)


@dataclass(frozen=True)
class Evaluation:
    """What was found on the whole split.

    Attributes:
        accuracy: share of the samples whose most probable class is the true one.
        loss: mean cross-entropy, in nats.
        per_class: share of each class's samples that were recognised; NaN for a class without samples.
        confusion: counts [num_classes, num_classes]; rows are the truth.
        num_samples: samples in the split.
        mistakes: the wrong predictions made with the greatest confidence, the worst first.
        samples: a few predictions, spread evenly over the split.
        examples: inputs of the model for the first few samples, as the model gets them.
        probabilities: what it made of `examples`.
    """

    accuracy: float
    loss: float
    per_class: list[float]
    confusion: Tensor
    num_samples: int
    mistakes: list[Prediction]
    samples: list[Prediction]
    examples: Tensor
    probabilities: Tensor


def evaluate(
    probabilities: Callable[[Tensor], Tensor],
    inputs: Callable[[dict[str, Tensor]], Tensor],
    batches: Iterable[dict[str, Tensor]],
    num_samples: int,
    num_classes: int,
    label_field: str,
    picture_field: str | None,
) -> Evaluation:
    """Score a classifier.

    Args:
        probabilities: from inputs to the probability of each class, [batch, num_classes].
        inputs: from a batch of raw fields to the classifier's inputs.
        batches: the split in order, with the samples' numbers as `index`.
        num_samples: samples that all batches hold together.
        num_classes: how many classes there are.
        label_field: the field with the true class.
        picture_field: the field to show of mistakes and samples; None where there is none.

    Raises:
        UserError: if the split is empty or a label is no class.
    """
    counts = MetricCollection(
        {
            "accuracy": MulticlassAccuracy(num_classes, average="micro"),
            "per_class": MulticlassAccuracy(num_classes, average="none"),
            "confusion": MulticlassConfusionMatrix(num_classes),
        },
        compute_groups=False,
    )
    loss = MeanMetric()
    shown = {round(place * (num_samples - 1) / (NUM_SAMPLES - 1)) for place in range(NUM_SAMPLES)}
    mistakes: list[Prediction] = []
    samples: list[Prediction] = []
    examples: list[Tensor] = []
    answers: list[Tensor] = []
    position = 0
    for batch in batches:
        truth = batch[label_field]
        _check_labels(truth, num_classes, label_field)
        with torch.inference_mode():
            taken = inputs(batch)
            answer = probabilities(taken)
        if not torch.isfinite(answer).all():
            raise UserError(
                "the model gives probabilities that are not numbers", "Its weights are of no use."
            )
        counts.update(answer, truth)
        # A probability below the smallest normal number counts as that number: 87 nats, not infinity.
        loss.update(-answer.gather(1, truth[:, None]).clamp_min(torch.finfo(answer.dtype).tiny).log())
        picture = None if picture_field is None else batch[picture_field]
        probability, prediction = answer.max(dim=1)
        wrong = (prediction != truth).nonzero().flatten()
        worst = wrong[probability[wrong].argsort(descending=True, stable=True)[:NUM_MISTAKES]]
        mistakes += _predictions(answer, truth, batch["index"], picture, worst.tolist())
        mistakes = sorted(mistakes, key=lambda one: -one.probability)[:NUM_MISTAKES]
        rows = [row for row in range(len(truth)) if position + row in shown]
        samples += _predictions(answer, truth, batch["index"], picture, rows)
        if position < NUM_EXAMPLES:
            examples.append(taken[: NUM_EXAMPLES - position].clone())
            answers.append(answer[: NUM_EXAMPLES - position].clone())
        position += len(truth)
    if position == 0:
        raise UserError(
            "the test split holds no sample", "Give the dataset more samples or a larger test split."
        )
    found = counts.compute()
    present = found["confusion"].sum(dim=1) > 0
    return Evaluation(
        accuracy=float(found["accuracy"]),
        loss=float(loss.compute()),
        per_class=[
            float(value) if there else math.nan
            for value, there in zip(found["per_class"], present.tolist(), strict=True)
        ],
        confusion=found["confusion"],
        num_samples=position,
        mistakes=mistakes,
        samples=samples,
        examples=torch.cat(examples),
        probabilities=torch.cat(answers),
    )


def _predictions(
    answer: Tensor, truth: Tensor, index: Tensor, picture: Tensor | None, rows: list[int]
) -> list[Prediction]:
    predicted = answer.argmax(dim=1)
    return [
        Prediction(
            index=int(index[row]),
            truth=int(truth[row]),
            prediction=int(predicted[row]),
            probability=float(answer[row, predicted[row]]),
            truth_probability=float(answer[row, truth[row]]),
            # A copy: a view would keep its whole batch in memory.
            picture=None if picture is None else picture[row].clone(),
        )
        for row in rows
    ]


def label_field(fields: Mapping[str, FieldSettings]) -> str:
    """The field that holds the class.

    Raises:
        UserError: if there is none or more than one.
    """
    found = [name for name, field in fields.items() if field.classes]
    if len(found) != 1:
        raise UserError(
            f"data.fields has {len(found)} fields with classes, and an evaluation needs one",
            "Give `classes` to the field that is to be predicted.",
        )
    return found[0]


def picture_field(fields: Mapping[str, FieldSettings]) -> str | None:
    """The first field that can be shown: grey or colour, by its axes; None where there is none."""
    for name, field in fields.items():
        if field.axes == ["height", "width"] or (
            field.axes == ["channel", "height", "width"] and field.shape[0] in (1, 3)
        ):
            return name
    return None


def _check_labels(labels: Tensor, num_classes: int, name: str) -> None:
    if labels.min() < 0 or labels.max() >= num_classes:
        raise UserError(
            f"the test split has {name}={int(labels.max() if labels.min() >= 0 else labels.min())},"
            f" but there are {num_classes} classes",
            "The shards and the list of classes do not belong together: pack the dataset again.",
        )
