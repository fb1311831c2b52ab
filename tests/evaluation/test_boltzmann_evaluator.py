"""The evaluation of a machine that has learned the small dataset."""

from collections.abc import Iterator
from dataclasses import replace

import numpy
import pytest
import torch
from torch import Tensor

from modules.datamodules.shard_loader import EvaluationLoader
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.shard_split import ShardSplit
from modules.evaluation import boltzmann_evaluator
from modules.evaluation.evaluator import evaluate
from modules.evaluation.findings import Findings
from modules.metrics.partition_function import exact_log_partition
from modules.tasks.contrastive_divergence import ContrastiveDivergence, reconstruction_error
from modules.training.fit import initial_task
from tests.training.small import small_plan, write_small_shards


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    out = tmp_path_factory.mktemp("data") / "fashion_mnist"
    write_small_shards(out)
    return ShardSet.open(out)


def batches(split: ShardSplit) -> Iterator[dict[str, Tensor]]:
    return iter(EvaluationLoader(split, 500))


def learned(shards: ShardSet, *overrides: str) -> tuple[ContrastiveDivergence, Findings]:
    plan = small_plan("rbm", "task.binarise=false", *overrides)
    task = initial_task(plan)
    assert isinstance(task, ContrastiveDivergence)
    optimizer = torch.optim.SGD([p for p in task.parameters() if p.requires_grad], lr=0.05)
    for batch in batches(shards.split("train")):
        for rows in torch.arange(len(batch["image"])).split(20):
            optimizer.zero_grad()
            task.loss({name: values[rows] for name, values in batch.items()}).quotient.backward()
            optimizer.step()
    state = torch.get_rng_state()
    findings = evaluate(task, shards, plan)
    assert torch.equal(torch.get_rng_state(), state)
    return task, findings


def test_figures_of_a_small_machine_are_exact(shards: ShardSet) -> None:
    task, findings = learned(shards, "model.hidden_size=8")
    test = next(batches(shards.split("test")))
    with torch.no_grad():
        free_energy = task.layer.free_energy(task.visible(test)).mean()
    figures = findings.metrics
    assert figures["log_partition"] == pytest.approx(exact_log_partition(task.layer))
    assert figures["log_partition_error"] == 0
    assert figures["log_likelihood"] == pytest.approx(
        float(-free_energy) - figures["log_partition"], rel=1e-5
    )
    assert figures["num_samples"] == 100


def test_figures_are_of_the_classes_that_were_seen(shards: ShardSet) -> None:
    task, findings = learned(shards, "model.hidden_size=8", "trainer.without_classes=[0,1,2,3,4]")
    test = next(batches(shards.split("test")))
    seen = test["label"] > 4
    with torch.no_grad():
        error = reconstruction_error(task.layer, task.visible(test)[seen]).mean()
    assert findings.metrics["num_samples"] == int(seen.sum())
    assert findings.metrics["reconstruction_error"] == pytest.approx(float(error), rel=1e-5)


def test_the_field_with_the_classes_may_have_any_name(
    shards: ShardSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = small_plan(
        "rbm",
        "model.hidden_size=8",
        "trainer.without_classes=[0,1,2,3,4]",
        "evaluation.0.sampled_every_steps=1",
    )
    settings, task = plan.data, initial_task(plan)
    expected = evaluate(task, shards, plan)

    def renamed(split: ShardSplit, batch_size: int) -> Iterator[dict[str, Tensor]]:
        batches = EvaluationLoader(split, batch_size)
        return ({"kind": batch.pop("label"), **batch} for batch in batches)

    monkeypatch.setattr(boltzmann_evaluator, "EvaluationLoader", renamed)
    fields = {"image": settings.fields["image"], "kind": settings.fields["label"]}
    found = evaluate(task, shards, replace(plan, data=replace(settings, fields=fields)))
    assert found.metrics == expected.metrics and found.metrics["num_samples"] < 100
    assert numpy.array_equal(found.images[0].pixels, expected.images[0].pixels)


def test_images_are_chains_and_filters(shards: ShardSet) -> None:
    _, findings = learned(shards, "model.hidden_size=8", "evaluation.0.sampled_every_steps=3")
    samples, filters = findings.images
    assert (samples.name, filters.name) == ("samples", "filters")
    # Ten chains of a start and ten samples; eight filters in a row of ten.
    assert samples.pixels.shape == (10 * 58 + 2, 11 * 58 + 2)
    assert filters.pixels.shape == (58 + 2, 10 * 58 + 2)
    start = torch.from_numpy(samples.pixels[2:58:2, 2:58:2])
    test = next(batches(shards.split("test")))
    first = test["image"][test["label"] == test["label"].min()][0, 0]
    assert torch.equal(start, first)
    assert samples.pixels[2:58, 60:116].std() > 0


def test_samples_of_an_upper_layer_are_carried_down_to_the_pixels(shards: ShardSet) -> None:
    upper = [
        "evaluation.0.sampled_every_steps=3",
        "model=boltzmann/deep_belief_net",
        "~model.hidden_size",
        "model.hidden_sizes=[20,6]",
        "task.layer=1",
    ]
    task, findings = learned(shards, *upper)
    assert [image.name for image in findings.images] == ["samples"]
    assert findings.images[0].pixels.shape == (10 * 58 + 2, 11 * 58 + 2)
    assert findings.metrics["log_likelihood"] == pytest.approx(
        -_free_energy(task, shards) - exact_log_partition(task.layer), rel=1e-5
    )


def _free_energy(task: ContrastiveDivergence, shards: ShardSet) -> float:
    with torch.no_grad():
        return float(task.layer.free_energy(task.visible(next(batches(shards.split("test"))))).mean())
