"""Students: what a student knows of classes that it never saw.

Hinton, Vinyals & Dean 2015, section 3 (arXiv 1503.02531): a student that learned from a teacher's soft
targets without one image of a class recognises that class all the same, once the bias that it learned for
the class, far too low, is raised.
"""

from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from modules.configuration.plans.run_plan import Plan
from modules.datamodules.shard_set import ShardSet
from modules.evaluation.classification_evaluator import classes_of, predictions_of_test
from modules.evaluation.findings import Chart, Findings, Series
from modules.evaluation.predictions import Predictions
from modules.tasks.optional_methods import NamesClasses

_BIASES = [step / 4 for step in range(49)]


class DistillationEvaluator:
    """Where training left classes out: what raising their biases does.

    Args:
        batch_size: samples at a time.
    """

    metrics: ClassVar[dict[str, Literal["max", "min"]]] = {
        "omitted_accuracy": "max",
        "omitted_accuracy_raised": "max",
        "accuracy_raised": "max",
    }
    charts: ClassVar[tuple[str, ...]] = ("omitted",)

    def __init__(self, batch_size: int = 500) -> None:
        self.batch_size = batch_size

    def evaluate(self, task: NamesClasses, data: ShardSet, plan: Plan) -> Findings:
        """A curve of accuracy over bias, and its best; nothing where training left no class out."""
        if not plan.trainer.without_classes:
            return Findings()
        classes = classes_of(plan.data.fields, task.label)
        found = predictions_of_test(task, data, self.batch_size)
        return raised(found, classes, plan.trainer.without_classes)


def raised(found: Predictions, classes: list[str], without: list[int]) -> Findings:
    """What raising the biases of classes does.

    Args:
        found: by the student.
        classes: names.
        without: numbers of the classes that training left out.
    """
    probabilities, truth = found.probabilities, found.truth
    # Of a class without a test sample there is nothing to recognise.
    omitted = [number for number in without if (truth == number).any()]
    if not omitted:
        return Findings()
    curve = [_accuracies(probabilities, truth, omitted, bias) for bias in _BIASES]
    all_classes = [(bias, overall) for bias, (overall, _) in zip(_BIASES, curve, strict=True)]
    unseen = [(bias, accuracy) for bias, (_, accuracy) in zip(_BIASES, curve, strict=True)]
    best = max(range(len(curve)), key=lambda place: curve[place][0])
    names = ", ".join(classes[number] for number in omitted)
    chart = Chart(
        name="omitted",
        title=f"Never seen: {names}",
        caption=f"The student learned from its teacher's answers, without an image of {names}. Raising"
        f" the bias of what it never saw by {_BIASES[best]:g}, the best on the test split, recognises"
        f" {curve[best][1]:.1%} of it, and {curve[best][0]:.1%} of all.",
        kind="lines",
        x="added to the bias",
        y="test accuracy",
        series=[Series("all classes", all_classes), Series(f"never seen: {names}", unseen)],
    )
    figures = {
        "omitted_accuracy": curve[0][1],
        "omitted_accuracy_raised": curve[best][1],
        "accuracy_raised": curve[best][0],
        "bias_raised_by": _BIASES[best],
    }
    return Findings(figures, charts=[chart])


def _accuracies(
    probabilities: Float[Tensor, "samples num_classes"],
    truth: Int[Tensor, " samples"],
    omitted: list[int],
    bias: float,
) -> tuple[float, float]:
    """The accuracy on all samples and on those of the omitted classes, with a bias added to their logits."""
    logits = probabilities.double().clamp_min(torch.finfo(torch.float64).tiny).log()
    logits[:, omitted] += bias
    right = logits.argmax(dim=1) == truth
    unseen = torch.isin(truth, torch.tensor(omitted))
    return float(right.double().mean()), float(right[unseen].double().mean())
