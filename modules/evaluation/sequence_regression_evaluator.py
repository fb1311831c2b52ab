"""Numbers for sequences: how far off by the length of a sequence, and how much of the gradient reaches back.

metrics.json holds, of the test split's sequences that count:

mean_squared_error     of the numbers
mean_target_error      the same where the answer is always the targets' mean: nothing learned
error                  share of the sequences that are off by more than the task's tolerance
error_<length>         of the sequences of a length, or up to it where there are many lengths
"""

from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from modules.configuration.errors import UserError
from modules.configuration.plans.run_plan import Plan
from modules.datamodules.shard_loader import EvaluationLoader
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.shard_split import ShardSplit
from modules.evaluation.exhibits import TextTable
from modules.evaluation.findings import Chart, Findings, Series
from modules.models.recurrent.recurrent_regressor import RecurrentRegressor, gradient_through_time
from modules.tasks.sequence_regression import SequenceRegression

_MOST_LENGTHS = 8


class SequenceRegressionEvaluator:
    """Errors by length, and the gradient through time.

    Bengio, Simard & Frasconi (1994), *Learning long-term dependencies with gradient descent is difficult*,
    IEEE Transactions on Neural Networks 5: what a loss at the end says of a state long before it.

    Args:
        batch_size: sequences at a time.
        num_gradients: sequences of each length whose gradients are taken.
    """

    metrics: ClassVar[dict[str, Literal["max", "min"]]] = {
        "mean_squared_error": "min",
        "mean_target_error": "min",
        "error": "min",
    }
    charts: ClassVar[tuple[str, ...]] = ("error_by_length", "gradient_through_time")

    def __init__(self, batch_size: int = 100, num_gradients: int = 50) -> None:
        self.batch_size = batch_size
        self.num_gradients = num_gradients

    def evaluate(self, task: SequenceRegression, data: ShardSet, plan: Plan) -> Findings:
        """Errors, and of a recurrent regressor the gradient with respect to its state at each step.

        Raises:
            UserError: no test sequence counts.
        """
        split = data.split("test")
        found = []
        with torch.no_grad():
            for batch in EvaluationLoader(split, self.batch_size):
                answers = task.answers(batch)
                squares, wrong = task.squared_errors(answers, batch), task.wrong(answers, batch)
                keep = task.keep(batch)
                found.append((task.length(batch), squares, wrong, batch[task.target], keep))
        length, squares, wrong, target, keep = map(torch.cat, zip(*found, strict=True))
        numbers = keep.nonzero()[:, 0]
        if not len(numbers):
            raise UserError(
                f"no test sequence has {task.max_length} steps or fewer", "Set task.max_length to more"
            )
        length, squares, wrong, target = (values[numbers] for values in (length, squares, wrong, target))
        metrics = {
            "mean_squared_error": float(squares.double().mean()),
            "mean_target_error": float(target.double().var(0, correction=0).mean()),
            "error": float(wrong.double().mean()),
            "num_samples": len(numbers),
        }
        groups = _by_length(length)
        rows, points = [], []
        for longest, places in groups.items():
            error = float(wrong[places].double().mean())
            metrics[f"error_{longest}"] = error
            points.append((float(longest), error))
            rows.append(
                [str(longest), str(len(places)), f"{error:.3f}", f"{float(squares[places].mean()):.5f}"]
            )
        caption = f"An answer is wrong that is off by more than {task.tolerance:g}."
        table = TextTable(
            "by_length",
            "Error by length",
            caption,
            ["steps", "sequences", "share that is wrong", "mean squared error"],
            rows,
        )
        charts = [
            Chart(
                "error_by_length", "Error by length", caption, "lines", "steps", "share that is wrong",
                [Series(plan.name, points)], log_x=True,
            )
        ]  # fmt: skip
        if isinstance(task.model, RecurrentRegressor):
            chosen = {
                longest: _of_one_length(length, numbers, places)[: self.num_gradients]
                for longest, places in groups.items()
            }
            charts.append(self._through_time(task, split, chosen))
        return Findings(metrics, charts=charts, exhibits=[table])

    def _through_time(self, task: SequenceRegression, split: ShardSplit, chosen: dict[int, Tensor]) -> Chart:
        """Of each length, the mean norm at every step over sequences that are exactly as long."""
        assert isinstance(task.model, RecurrentRegressor)
        series = []
        for longest, numbers in chosen.items():
            fields = split.read(numbers.numpy())
            batch = {name: torch.from_numpy(values) for name, values in fields.items()}
            with torch.enable_grad():
                answers, states = task.model.by_steps(task.inputs(batch)[:, :longest])
                norms = gradient_through_time(task.squared_errors(answers, batch).sum(), states).mean(0)
            points = [(float(step), norm) for step, norm in enumerate(norms.tolist(), 1) if norm > 0]
            series.append(Series(f"{longest} steps", points))
        return Chart(
            "gradient_through_time",
            "Gradient through time",
            "Norm of the gradient of a sequence's squared error with respect to the state after each step,"
            " mean over test sequences. The error is made at the last step; of steps where the gradient has"
            " vanished nothing is learned.",
            "lines",
            "step",
            "norm",
            series,
            log_y=True,
        )


def _by_length(length: Tensor) -> dict[int, Tensor]:
    """Places of the sequences by length; of many lengths, about as many in each range, by the longest."""
    shares = np.linspace(0, 1, _MOST_LENGTHS + 1)[1:]
    ends = length.unique()
    if len(ends) > _MOST_LENGTHS:
        ends = torch.from_numpy(np.unique(np.quantile(length.numpy(), shares, method="higher")))
    groups = torch.searchsorted(ends, length)
    return {int(end): (groups == number).nonzero()[:, 0] for number, end in enumerate(ends)}


def _of_one_length(length: Tensor, numbers: Tensor, places: Tensor) -> Tensor:
    """The numbers in the split of a group's longest sequences."""
    return numbers[places[length[places] == length[places].max()]]
