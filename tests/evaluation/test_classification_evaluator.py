"""Figures of an evaluation, against counting by hand."""

import math
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from modules.configuration.composition.compose import compose
from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.samples import ArraySamples
from modules.datamodules.shard_set import ShardSet
from modules.evaluation.classification_evaluator import ClassificationEvaluator, classes_of, image_field
from modules.evaluation.predictions import Predictions, predict
from modules.tasks.build_task import build_task
from modules.tasks.classification import Classification
from tests.plans import plan_of
from tests.written_shards import write_samples

NUM_CLASSES = 4


def random_split(num_samples: int, seed: int) -> Predictions:
    generator = torch.Generator().manual_seed(seed)
    probabilities = torch.randn(num_samples, NUM_CLASSES, generator=generator).softmax(dim=1)
    truth = torch.randint(NUM_CLASSES, (num_samples,), generator=generator)
    return Predictions(probabilities, truth, torch.arange(num_samples) + 1000)


@given(st.integers(1, 40), st.integers(0, 2**16))
def test_figures_are_what_counting_gives(num_samples: int, seed: int) -> None:
    found = random_split(num_samples, seed)
    truth, taken = found.truth.tolist(), found.probabilities.argmax(dim=1).tolist()
    right = [a == b for a, b in zip(truth, taken, strict=True)]
    assert found.accuracy == sum(right) / num_samples
    for row in range(NUM_CLASSES):
        for column in range(NUM_CLASSES):
            count = sum(a == row and b == column for a, b in zip(truth, taken, strict=True))
            assert found.confusion[row, column] == count
    expected = -sum(math.log(found.probabilities[i, label]) for i, label in enumerate(truth)) / num_samples
    assert found.loss == pytest.approx(expected, rel=1e-5)


@given(st.integers(1, 40), st.integers(0, 2**16), st.integers(1, 50))
def test_mistakes_are_wrong_and_the_surest_come_first(num_samples: int, seed: int, most: int) -> None:
    found = random_split(num_samples, seed)
    mistakes = found.worst_mistakes(most)
    wrong = [place for place in range(num_samples) if found.prediction[place] != found.truth[place]]
    assert len(mistakes) == min(most, len(wrong)) and set(mistakes) <= set(wrong)
    confidence = [float(found.probabilities[place].max()) for place in mistakes]
    assert confidence == sorted(confidence, reverse=True)
    left = [float(found.probabilities[place].max()) for place in wrong if place not in mistakes]
    assert not left or not confidence or max(left) <= min(confidence)


@given(st.integers(1, 200), st.integers(1, 30))
def test_samples_are_spread_and_none_comes_twice(num_samples: int, most: int) -> None:
    places = random_split(num_samples, 0).spread_samples(most)
    assert len(set(places)) == len(places) == min(most, num_samples)
    assert all(0 <= place < num_samples for place in places)


def test_a_certain_mistake_costs_much_but_not_infinity() -> None:
    found = Predictions(torch.tensor([[1.0, 0.0]]), torch.tensor([1]), torch.tensor([0]))
    assert 80 < found.loss < 100


def batches(labels: list[int]) -> list[dict[str, Tensor]]:
    return [
        {"x": torch.eye(3)[:1], "label": torch.tensor([label]), "index": torch.tensor([5])}
        for label in labels
    ]


@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_that_is_no_class_is_named(label: int) -> None:
    with pytest.raises(UserError, match=f"label={label}, but there are 3 classes"):
        predict(lambda batch: batch["x"], batches([0, label]), "label")


def test_an_empty_split_and_broken_probabilities_are_refused() -> None:
    with pytest.raises(UserError, match="no sample"):
        predict(lambda batch: batch["x"], [], "label")
    with pytest.raises(UserError, match="not numbers"):
        predict(lambda batch: batch["x"] * math.nan, batches([0]), "label")


def field(axes: list[str], shape: list[int | str], classes: list[str] | None = None) -> FieldSettings:
    return FieldSettings(dtype="uint8", shape=shape, axes=axes, units="", classes=classes)


def test_fields_are_found_by_what_they_are_not_by_their_names() -> None:
    image = field(["channel", "height", "width"], [3, 8, 8])
    kind = field([], [], ["cat", "dog"])
    depth = field(["channel", "height", "width"], [7, 8, 8])
    assert image_field({"depth": depth, "kind": kind, "photo": image}) == "photo"
    assert image_field({"depth": depth, "kind": kind}) is None
    assert image_field({"sketch": field(["height", "width"], [8, 8])}) == "sketch"
    assert classes_of({"photo": image, "kind": kind}, "kind") == ["cat", "dog"]
    for label in ("photo", "label"):
        with pytest.raises(UserError, match=f"data.fields.{label} has no classes"):
            classes_of({"photo": image, "kind": kind}, label)


def test_a_classifier_of_texts_has_no_images(tmp_path: Path) -> None:
    config = compose(["recipe=reuters_r8", "model.embedding_size=2", "model.hidden_size=2"])
    config["data"]["fields"]["text"]["vocabulary"] |= {"size": 6, "min_count": 1}
    plan = plan_of(config)
    columns = {"text": ["a b", "b"] * 4, "label": np.arange(8)}
    splits = ("train", "validation", "test")
    plan.data.splits.clear()
    write_samples(
        {split: ArraySamples(list("01234567"), columns) for split in splits},
        plan.data,
        tmp_path / "reuters_r8",
    )
    data = ShardSet.open(tmp_path / "reuters_r8", plan.data)
    task = build_task(plan.model, plan.task).eval()
    findings = ClassificationEvaluator().evaluate(cast(Classification, task), data, plan)
    assert set(findings.metrics) == {"accuracy", "loss"} and not findings.exhibits
