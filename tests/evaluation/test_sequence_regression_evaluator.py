"""Errors by length, and a chart of the gradient at each step, of a small set of sequences."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from modules.configuration.errors import UserError
from modules.datamodules.formats.adding_problem import AddingProblemReader
from modules.datamodules.samples import ArraySamples
from modules.datamodules.shard_set import ShardSet
from modules.evaluation.evaluator import evaluate
from modules.evaluation.sequence_regression_evaluator import SequenceRegressionEvaluator
from modules.models.recurrent.recurrent_regressor import RecurrentRegressor
from modules.tasks.sequence_regression import SequenceRegression
from tests.training.small import small_plan
from tests.written_shards import write_samples

PLAN = small_plan("adding_lstm", data="adding_problem")
LENGTHS = [3, 6, 9]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    folder = tmp_path_factory.mktemp("data")
    rows = np.random.default_rng(0).integers(0, 256, (90, 32), dtype=np.uint8)
    np.save(folder / "bits.npy", rows)
    made = AddingProblemReader("bits.npy", LENGTHS).samples(folder, PLAN.data.fields)
    samples = made["train"]
    assert isinstance(samples, ArraySamples)
    splits = dict.fromkeys(["train", "validation", "test"], samples)
    write_samples(splits, replace(PLAN.data, splits={}), folder / "shards")
    return ShardSet.open(Path(folder / "shards"))


def task(max_length: int | None = None) -> SequenceRegression:
    torch.manual_seed(0)
    return SequenceRegression(RecurrentRegressor(2, 1, 6), max_length=max_length, target="sum").eval()


def test_errors_are_counted_by_length(data: ShardSet) -> None:
    made = task()
    found = SequenceRegressionEvaluator(batch_size=7).evaluate(made, data, PLAN)
    split = data.split("test")
    errors = {length: [] for length in LENGTHS}
    squares, sums = [], []
    for number in range(split.num_samples):
        one = split.read(np.array([number]))
        sequence = torch.from_numpy(one["sequence"])
        with torch.no_grad():
            answer = made.model(sequence, torch.tensor([sequence.shape[1]]))
        off = answer.item() - one["sum"].item()
        errors[sequence.shape[1]].append(abs(off) > 0.04)
        squares.append(off**2)
        sums.append(one["sum"].item())
    for length, wrong in errors.items():
        assert found.metrics[f"error_{length}"] == pytest.approx(np.mean(wrong))
    assert found.metrics["error"] == pytest.approx(
        np.mean([one for wrong in errors.values() for one in wrong])
    )
    assert found.metrics["mean_squared_error"] == pytest.approx(np.mean(squares), rel=1e-5)
    assert found.metrics["mean_target_error"] == pytest.approx(np.var(sums), rel=1e-5)
    assert evaluate(made, data, PLAN).metrics["num_samples"] == 90


def test_the_gradient_is_shown_at_every_step_of_each_length(data: ShardSet) -> None:
    found = SequenceRegressionEvaluator(num_gradients=5).evaluate(task(), data, PLAN)
    chart = found.charts[1]
    assert [series.name for series in chart.series] == ["3 steps", "6 steps", "9 steps"]
    for series, length in zip(chart.series, LENGTHS, strict=True):
        assert [step for step, _ in series.points] == list(range(1, length + 1))


def test_longer_sequences_are_left_out(data: ShardSet) -> None:
    found = SequenceRegressionEvaluator().evaluate(task(max_length=6), data, PLAN)
    assert found.metrics["num_samples"] == 60 and "error_9" not in found.metrics
    assert [series.name for series in found.charts[1].series] == ["3 steps", "6 steps"]
    with pytest.raises(UserError, match="no test sequence has 2 steps or fewer"):
        SequenceRegressionEvaluator().evaluate(task(max_length=2), data, PLAN)
