"""Several processes that train one model: the same as one alone, and all of them alike."""

import json
import multiprocessing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed, nn
from torch.nn.functional import cross_entropy

from modules.metrics.mean import Mean
from modules.tasks.classification import Classification
from modules.training import data_parallel, gradient_average
from modules.training.runs.checkpoint import read_checkpoint
from tests.training.small import small_plan
from tests.training.together import Recorder, recorded, shown_together, train_together

SGD = ("optimizer=sgd", "optimizer.lr=0.05")
"""Adam makes a whole step of a gradient that is nothing but rounding, such as dropout leaves."""


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "weights.pt", weights_only=True)


def read(folder: Path, name: str) -> dict[str, Any]:
    return json.loads((folder / name).read_text())


@pytest.mark.parametrize(
    ("recipe", "num_workers", "overrides"),
    [
        ("lenet", 2, ["model.dropout=0.0"]),
        ("lenet", 2, ["model.dropout=0.4", *SGD]),
        ("neuron", 2, ["task.augmentation={_target_: modules.bricks.distortion.RandomDistortion}", *SGD]),
        ("denoising_autoencoder", 3, ["trainer.batch_size=18", "optimizer=sgd", "optimizer.lr=1e-3"]),
        ("lenet", 2, ["model.dropout=0.0", "trainer.block_steps=1"]),
        ("lenet", 2, ["trainer.gradient_clip_norm=0.05", *SGD]),
        ("lenet", 2, ["trainer.gradient_clip_norm=0.05", "trainer.block_steps=1", *SGD]),
        ("neuron", 4, ["trainer.precision=bf16-mixed"]),
    ],
)
def test_workers_learn_what_one_alone_learns(
    recipe: str, num_workers: int, overrides: list[str], small_shards: Path, tmp_path: Path
) -> None:
    plan = small_plan(recipe, *overrides)
    alone, together = tmp_path / "alone", tmp_path / "together"
    # Recorders take random numbers themselves: both trainings have one.
    assert train_together(plan, small_shards, alone, 1, [Recorder(alone)]) == [0], shown_together(alone, 1)
    recorder = Recorder(together)
    statuses = train_together(plan, small_shards, together, num_workers, [recorder])
    assert statuses == [0] * num_workers, shown_together(together, num_workers)

    # One step in bfloat16 has 8 bits, and the sum of four shares is rounded otherwise than that of all.
    relative, absolute = (0.02, 0.01) if "precision" in str(overrides) else (1e-3, 1e-4)
    for name, value in weights(alone).items():
        torch.testing.assert_close(weights(together)[name], value, rtol=relative, atol=absolute)
    histories = read(alone, "history.json"), read(together, "history.json")
    for name, points in histories[0].items():
        for (step, value), (other_step, other) in zip(points, histories[1][name], strict=True):
            assert step == other_step
            assert other == pytest.approx(value, rel=relative, abs=absolute), (name, step)
    # All of them have the same weights after every block, bit by bit.
    blocks = [[line["weights"] for line in recorded(together, rank)] for rank in range(num_workers)]
    assert all(block == blocks[0] for block in blocks)
    assert len(set(blocks[0])) == len(blocks[0])


@pytest.mark.parametrize("overrides", [[], ["trainer.block_steps=1"], ["trainer.gradient_clip_norm=0.05"]])
def test_workers_whose_losses_count_unequally_many_learn_what_one_alone_learns(
    overrides: list[str], small_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loss(task: Classification, batch: dict[str, torch.Tensor]) -> Mean:
        costs = cross_entropy(task.model(task.inputs(batch)), batch["label"], reduction="none")
        return Mean.of(costs, keep=batch["label"] < 5)

    monkeypatch.setattr(Classification, "loss", loss)  # the workers are forks
    plan = small_plan("neuron", *overrides)
    alone, together = tmp_path / "alone", tmp_path / "together"
    assert train_together(plan, small_shards, alone, 1) == [0], shown_together(alone, 1)
    assert train_together(plan, small_shards, together, 4) == [0] * 4, shown_together(together, 4)
    for name, value in weights(alone).items():
        torch.testing.assert_close(weights(together)[name], value, rtol=1e-3, atol=1e-5)
    points = [read(folder, "history.json")["train/loss"] for folder in (alone, together)]
    for (_, value), (_, other) in zip(*points, strict=True):
        assert other == pytest.approx(value, rel=1e-4)


def test_a_loss_of_nothing_at_all_is_said(
    small_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loss(task: Classification, batch: dict[str, torch.Tensor]) -> Mean:
        costs = task.model(task.inputs(batch)).square().sum(1)
        return Mean.of(costs, keep=batch["label"] > 9)

    monkeypatch.setattr(Classification, "loss", loss)
    assert train_together(small_plan("neuron"), small_shards, tmp_path, 2) == [1, 1]
    assert "UserError: the loss at step 1 is the mean of no values" in shown_together(tmp_path, 2)
    assert not (tmp_path / "checkpoints" / "last.ckpt").exists()


def test_every_sample_once_an_epoch_and_one_stream_of_random_numbers(
    small_shards: Path, tmp_path: Path
) -> None:
    plan = small_plan("neuron", "trainer.batch_size=18")
    alone, together = tmp_path / "alone", tmp_path / "together"
    assert train_together(plan, small_shards, alone, 1, [Recorder(alone)]) == [0]
    assert train_together(plan, small_shards, together, 3, [Recorder(together)]) == [0, 0, 0]
    lines = [recorded(together, rank) for rank in range(3)]
    for epoch in (0, 1):
        of_one = [line["samples"] for line in recorded(alone, 0) if line["epoch"] == epoch]
        of_all = [[line["samples"] for line in lines[rank] if line["epoch"] == epoch] for rank in range(3)]
        seen = [sample for blocks in of_all for block in blocks for sample in block]
        assert len(seen) == len(set(seen)) == read(together, "summary.json")["steps"] // 2 * 18
        # Block by block they are those that one alone takes.
        for block, shares in zip(of_one, zip(*of_all, strict=True), strict=True):
            assert sorted(block) == sorted(sample for share in shares for sample in share)
    sampled = [line["sampled"] for line in recorded(alone, 0)]
    assert all([line["sampled"] for line in lines[rank]] == sampled for rank in range(3))
    assert len(set(sampled)) == len(sampled)


def test_validation_is_over_all_samples_of_uneven_shares(small_shards: Path, tmp_path: Path) -> None:
    # So slow that the weights are those of the start, whoever trains, and many answers wrong.
    plan = small_plan("neuron", "optimizer=sgd", "optimizer.lr=1e-6", "trainer.batch_size=15")
    assert train_together(plan, small_shards, tmp_path / "1", 1) == [0]
    assert train_together(plan, small_shards, tmp_path / "5", 5) == [0] * 5
    alone, together = read(tmp_path / "1", "history.json"), read(tmp_path / "5", "history.json")
    assert 0 < alone["validation/accuracy"][0][1] < 1
    assert together["validation/accuracy"] == alone["validation/accuracy"]
    for (_, value), (_, other) in zip(alone["validation/loss"], together["validation/loss"], strict=True):
        assert other == pytest.approx(value, rel=1e-5)


def test_a_stop_that_reaches_one_worker_stops_all_at_one_block(small_shards: Path, tmp_path: Path) -> None:
    plan = small_plan("lenet", "model.dropout=0.3")
    whole, parts, fewer = tmp_path / "whole", tmp_path / "parts", tmp_path / "fewer"
    assert train_together(plan, small_shards, whole, 2, [Recorder(whole)]) == [0, 0]

    for folder in (parts, fewer):
        assert train_together(plan, small_shards, folder, 2, [Recorder(folder, stop=(1, 20))]) == [1, 1]
        assert "Interrupted: SIGTERM" in shown_together(folder, 2)
        assert read(folder, "outcome.json")["status"] == "KILLED"
        checkpoint = read_checkpoint(folder / "checkpoints" / "last.ckpt")
        assert checkpoint["global_step"] == 20
        assert len(checkpoint["callbacks"]["RandomState"]["by_rank"]) == 2

    # As many go on as if nothing had happened, dropout included.
    assert train_together(plan, small_shards, parts, 2, [Recorder(parts)]) == [0, 0]
    for name, value in weights(whole).items():
        assert torch.equal(weights(parts)[name], value), name
    for rank in (0, 1):
        assert [line["sampled"] for line in recorded(parts, rank)] == [
            line["sampled"] for line in recorded(whole, rank)
        ]

    # Another number goes on with the very next samples, and with the very next random numbers.
    assert train_together(plan, small_shards, fewer, 1, [Recorder(fewer)]) == [0]
    samples = {line["step"]: sorted(line["samples"]) for line in recorded(fewer, 0) if line["step"] > 20}
    for first, second in zip(recorded(whole, 0), recorded(whole, 1), strict=True):
        if first["step"] > 20:
            assert samples.pop(first["step"]) == sorted(first["samples"] + second["samples"])
    assert not samples
    for name, value in weights(whole).items():
        torch.testing.assert_close(weights(fewer)[name], value, rtol=1e-3, atol=1e-4)
    assert read(fewer, "summary.json")["steps"] == read(whole, "summary.json")["steps"]


def test_divergence_of_one_is_told_by_all(small_shards: Path, tmp_path: Path) -> None:
    plan = small_plan("neuron", "optimizer=sgd", "optimizer.lr=1e30")
    assert train_together(plan, small_shards, tmp_path, 2) == [1, 1]
    assert all("UserError: the training diverged" in (tmp_path / f"error{n}").read_text() for n in (0, 1))


def test_running_means_are_the_first_ones(small_shards: Path, tmp_path: Path) -> None:
    model = {
        "_target_": "modules.models.sequential.Sequential",
        "layers": [
            {"_target_": "torch.nn.BatchNorm2d", "num_features": 1},
            {"_target_": "torch.nn.Flatten"},
            {"_target_": "torch.nn.Linear", "in_features": 784, "out_features": 10},
        ],
    }
    plan = small_plan("neuron").changed(model=model)
    assert train_together(plan, small_shards, tmp_path, 2, [Recorder(tmp_path)]) == [0, 0]
    # The recorder's digest covers buffers.
    first, second = ([line["weights"] for line in recorded(tmp_path, rank)] for rank in (0, 1))
    assert first == second


@pytest.fixture
def process_group(tmp_path: Path) -> Iterator[None]:
    """Of this process alone."""
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.mark.parametrize("bucket_bytes", [1, 100, 10**6])
@pytest.mark.parametrize("is_open", [True, False])
def test_buckets_of_any_size_bring_each_gradient_to_its_parameter(
    process_group: None, is_open: bool, bucket_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gradient_average, "BUCKET_BYTES", bucket_bytes)
    module = nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 3).double(), nn.Linear(3, 2))
    module.get_parameter("2.bias").requires_grad_(False)
    average = gradient_average.GradientAverage(module, list(module.parameters()))
    assert average.num_bytes == 4 * 24 + 8 * 15 + 4 * 6
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for _ in range(3):
        factors = [torch.randn_like(parameter) for parameter in trained]
        module.zero_grad()
        if is_open:
            average.open()
        losses = [(one.double() * factor).sum() for one, factor in zip(trained, factors, strict=True)]
        torch.stack(losses).sum().backward()
        average()
        for parameter, gradient in zip(trained, factors, strict=True):
            assert torch.equal(parameter.grad, gradient)  # type: ignore[arg-type]
    average()  # what has been averaged may be averaged again
    for parameter, gradient in zip(trained, factors, strict=True):
        assert torch.equal(parameter.grad, gradient)  # type: ignore[arg-type]
    assert average.seconds > 0
    trained[1].grad = None
    average()
    assert trained[1].grad is None
    module[0].requires_grad_(False)
    average()
    assert average.num_bytes == 8 * 15 + 4 * 6


def test_a_gradient_that_comes_again_after_it_was_sent_is_an_error(
    process_group: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gradient_average, "BUCKET_BYTES", 1)
    module = nn.Linear(2, 1)
    average = gradient_average.GradientAverage(module, list(module.parameters()))
    average.open()
    module(torch.ones(1, 2)).sum().backward()
    with pytest.raises(RuntimeError, match="came again"):
        module(torch.ones(1, 2)).sum().backward()


def meeting_of(number: int, folder: Path, answers: Any) -> None:
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=number, world_size=2)
    layers = {name: nn.Linear(3, 1, bias=False) for name in ("both", "second", "none")}
    module = nn.ModuleDict(layers)
    average = gradient_average.GradientAverage(module, list(module.parameters()))
    for _ in range(2):
        module.zero_grad()
        average.open()
        used = ["both"] if number == 0 else ["both", "second"]
        sum(layers[name](torch.full((1, 3), number + 1.0)).sum() for name in used).backward()  # pyright: ignore
        average()
    found = {name: layer.weight.grad for name, layer in layers.items()}
    answers.put({name: None if one is None else one.tolist() for name, one in found.items()})
    distributed.barrier()
    distributed.destroy_process_group()


@pytest.mark.parametrize("bucket_bytes", [1, 10**6])
def test_a_gradient_may_be_missing_in_some_or_all(
    bucket_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gradient_average, "BUCKET_BYTES", bucket_bytes)
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    processes = [context.Process(target=meeting_of, args=(rank, tmp_path, answers)) for rank in (0, 1)]
    for process in processes:
        process.start()
    found = [answers.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert found == [{"both": [[1.5] * 3], "second": [[1.0] * 3], "none": None}] * 2


@pytest.mark.parametrize("option", ["trainer.log_gradient_norms=false", "trainer.log_gradient_norms=true"])
def test_a_worker_alone_may_run_out_of_memory(
    option: str, small_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole_loss = Classification.loss

    def loss(task: Classification, batch: dict[str, torch.Tensor]) -> Mean:
        if data_parallel.rank() == 1 and len(batch["label"]) > 2:
            torch.empty(2**50, dtype=torch.uint8)
        return whole_loss(task, batch)

    plain = small_plan("neuron", *SGD, option)
    assert train_together(plain, small_shards, tmp_path / "plain", 2) == [0, 0]
    monkeypatch.setattr(Classification, "loss", loss)  # the workers are forks
    plan = small_plan("neuron", *SGD, option, "trainer.micro_batches=auto")
    assert train_together(plan, small_shards, tmp_path / "auto", 2) == [0, 0], shown_together(
        tmp_path / "auto", 2
    )
    for name, value in weights(tmp_path / "plain").items():
        torch.testing.assert_close(weights(tmp_path / "auto")[name], value, rtol=1e-3, atol=1e-5)
    state = read_checkpoint(tmp_path / "auto" / "checkpoints" / "last.ckpt")["callbacks"]["MicroBatches"]
    assert state == {"num_parts": 4}


def test_communication_is_measured(small_shards: Path, tmp_path: Path) -> None:
    assert train_together(small_plan("neuron"), small_shards, tmp_path, 2) == [0, 0]
    summary, history = read(tmp_path, "summary.json"), read(tmp_path, "history.json")
    num_weights = sum(value.numel() for value in weights(tmp_path).values())
    assert summary["num_workers"] == 2
    assert summary["gradient_bytes_per_step"] == 4 * num_weights
    assert 0 < summary["communication_seconds_per_step"] < summary["seconds_per_step"]
    assert {value for _, value in history["communication/gradient_bytes_per_step"]} == {4 * num_weights}
    assert history["communication/seconds_per_step"][-1][0] == summary["steps"]
