"""Workers that hold a shard each: the same as workers that hold all, and as one alone."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.fsdp  # here once, not in each of the forks
from pytorch_lightning import Callback, LightningModule, Trainer

from modules.configuration.plans.run_plan import Plan
from modules.metrics.mean import Mean
from modules.tasks.classification import Classification
from modules.training.data_parallel import rank
from modules.training.runs.checkpoint import read_checkpoint
from modules.training.sharding.whole_tensors import local_of
from tests.training.small import small_plan
from tests.training.together import StopAt, shown_together, train_together

SGD = ("optimizer=sgd", "optimizer.lr=0.02")
WIDE = ("trainer.precision=64-true", "trainer.max_steps=24")
"""Only rounding is left, and that of float64 is seen through any network."""


def sharded(num_workers: int) -> list[str]:
    return ["runtime=ray", f"runtime.num_workers={num_workers}", "runtime.sharding=fsdp2"]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "weights.pt", weights_only=True)


def read(folder: Path, name: str) -> dict[str, Any]:
    return json.loads((folder / name).read_text())


def train(plan: Plan, shards: Path, folder: Path, num_workers: int, *callbacks: Any) -> Path:
    statuses = train_together(plan, shards, folder, num_workers, callbacks)
    assert statuses == [0] * num_workers, shown_together(folder, num_workers)
    return folder


def assert_alike(folder: Path, other: Path, relative: float, absolute: float) -> None:
    """Whether two runs came to the same weights by the same curves."""
    found = weights(other)
    for name, value in weights(folder).items():
        assert type(found[name]) is torch.Tensor
        torch.testing.assert_close(found[name], value, rtol=relative, atol=absolute, msg=name)
    curves, others = read(folder, "history.json"), read(other, "history.json")
    for name, points in curves.items():
        if "seconds" not in name:
            assert [step for step, _ in others[name]] == [step for step, _ in points]
            values = [value for _, value in others[name]]
            assert values == pytest.approx([value for _, value in points], rel=relative, abs=absolute), name


@pytest.mark.parametrize(
    ("num_workers", "overrides"),
    [
        (2, []),
        (3, ["model.dropout=0.0", "trainer.batch_size=18", "optimizer=sgd", "optimizer.lr=0.02"]),
        (2, ["trainer.block_steps=1"]),
        (2, ["trainer.gradient_clip_norm=0.05", *SGD]),
        (2, ["trainer.gradient_clip_norm=0.05", "trainer.block_steps=1", "optimizer.fused=false"]),
        (2, ["trainer.log_gradient_norms=true", "trainer.gradient_clip_norm=0.05"]),
        (2, ["model.dropout=0.0", "trainer.micro_batches=3"]),
        (2, ["model.dropout=0.0", "trainer.micro_batches=2", "trainer.log_gradient_norms=true"]),
        (2, ["fine_tuning.frozen_parts=1", "fine_tuning.lr_decay=0.5"]),
        (2, ["trainer.activation_checkpointing=[DenseLayer]"]),
        (2, ["trainer.keep.best=1", "+optimizer.amsgrad=true"]),
    ],
)
def test_they_learn_what_one_alone_learns(
    num_workers: int, overrides: list[str], small_shards: Path, tmp_path: Path
) -> None:
    alone = train(small_plan("lenet", *WIDE, *overrides), small_shards, tmp_path / "alone", 1)
    plan = small_plan("lenet", *WIDE, *overrides, *sharded(num_workers))
    parts = train(plan, small_shards, tmp_path / "parts", num_workers)
    assert_alike(alone, parts, 1e-8, 1e-10)
    assert read(parts, "summary.json")["sharding"] == "fsdp2"
    assert read(parts, "first_steps.json")["sharding"] == "fsdp2"


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["trainer.precision=bf16-mixed", *SGD],
    ],
)
def test_they_learn_what_as_many_whole_workers_learn(
    overrides: list[str], small_shards: Path, tmp_path: Path
) -> None:
    overrides = ["trainer.max_steps=40", *overrides]
    whole = train(small_plan("lenet", *overrides), small_shards, tmp_path / "whole", 2)
    plan = small_plan("lenet", *overrides, *sharded(2))
    parts = train(plan, small_shards, tmp_path / "parts", 2)
    assert_alike(whole, parts, 1e-5, 1e-6)


def test_losses_that_count_unequally_many_and_gradients_that_only_some_have(
    small_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loss(task: Classification, batch: dict[str, torch.Tensor]) -> Mean:
        inputs = task.inputs(batch)
        hidden = task.model.hidden(task.model.features(inputs).flatten(1))  # type: ignore[operator]
        costs = hidden.square().sum(1)
        if rank() == 1:  # the output layer is not asked in the first worker
            costs = costs + task.model.output(hidden).square().sum(1)  # type: ignore[operator]
        return Mean.of(costs, keep=batch["label"] < 5)

    monkeypatch.setattr(Classification, "loss", loss)  # the workers are forks
    overrides = ["model.dropout=0.0", *WIDE, "optimizer.lr=1e-4"]
    whole = train(small_plan("lenet", *overrides), small_shards, tmp_path / "whole", 2)
    parts = train(small_plan("lenet", *overrides, *sharded(2)), small_shards, tmp_path / "parts", 2)
    assert_alike(whole, parts, 1e-8, 1e-10)


def test_a_gradient_that_nobody_has_is_none(
    small_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loss(task: Classification, batch: dict[str, torch.Tensor]) -> Mean:
        return Mean.of(task.model.features(task.inputs(batch)).square().flatten(1).sum(1))  # type: ignore[operator]

    monkeypatch.setattr(Classification, "loss", loss)
    overrides = [
        "optimizer.lr=1e-4",
        "optimizer.weight_decay=0.5",
        *WIDE,
    ]  # which would pull a weight of no gradient
    whole = train(small_plan("lenet", *overrides), small_shards, tmp_path / "whole", 2)
    parts = train(small_plan("lenet", *overrides, *sharded(2)), small_shards, tmp_path / "parts", 2)
    assert_alike(whole, parts, 1e-8, 1e-10)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("sharded 2", "sharded 2"),
        ("sharded 2", "sharded 3"),
        ("sharded 2", "1"),
        ("3", "sharded 2"),
        ("1", "sharded 3"),
    ],
)
def test_a_training_goes_on_with_other_workers_and_other_shards(
    before: str, after: str, small_shards: Path, tmp_path: Path
) -> None:
    overrides = [*WIDE, "trainer.max_steps=32", "model.dropout=0.3", "trainer.batch_size=18"]

    def planned(how: str) -> tuple[Plan, int]:
        number = int(how.split()[-1])
        return small_plan("lenet", *overrides, *(sharded(number) if " " in how else [])), number

    whole = train(small_plan("lenet", *overrides), small_shards, tmp_path / "whole", 1)
    folder = tmp_path / "parts"
    plan, number = planned(before)
    assert train_together(plan, small_shards, folder, number, [StopAt(20)]) == [1] * number
    checkpoint = read_checkpoint(folder / "checkpoints" / "last.ckpt")
    assert checkpoint["global_step"] == 20
    shapes = {name: value.shape for name, value in weights(whole).items()}
    state = checkpoint["optimizer_states"][0]["state"]
    assert [value["exp_avg"].shape for value in state.values()] == list(shapes.values())
    for error in folder.glob("error*"):
        error.unlink()
    plan, number = planned(after)
    train(plan, small_shards, folder, number)
    assert_alike(whole, folder, 1e-8, 1e-10)


def test_a_checkpoint_that_is_not_finite_is_refused_by_all(small_shards: Path, tmp_path: Path) -> None:
    plan = small_plan("lenet", *sharded(2))
    assert train_together(plan, small_shards, tmp_path, 2, [StopAt(20)]) == [1, 1]
    path = tmp_path / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["optimizer_states"][0]["state"][4]["exp_avg"][-1] = torch.nan  # in the last worker's shard
    torch.save(checkpoint, path)
    assert train_together(plan, small_shards, tmp_path, 2) == [1, 1]
    for number in (0, 1):
        assert "its optimiser's exp_avg holds NaN" in (tmp_path / f"error{number}").read_text()


def test_divergence_of_one_is_told_by_all(small_shards: Path, tmp_path: Path) -> None:
    plan = small_plan("lenet", "optimizer=sgd", "optimizer.lr=1e30", *sharded(2))
    assert train_together(plan, small_shards, tmp_path, 2) == [1, 1]
    assert all("UserError: the training diverged" in (tmp_path / f"error{n}").read_text() for n in (0, 1))


def test_they_learn_in_bfloat16_what_whole_workers_learn(small_shards: Path, tmp_path: Path) -> None:
    # The fused kernel of SGD leaves most numbers of that type as they are.
    overrides = ["trainer.precision=bf16-true", "trainer.max_steps=20", *SGD, "optimizer.fused=false"]
    whole = train(small_plan("lenet", *overrides), small_shards, tmp_path / "whole", 2)
    parts = train(small_plan("lenet", *overrides, *sharded(2)), small_shards, tmp_path / "parts", 2)
    assert {value.dtype for value in weights(parts).values()} == {torch.bfloat16}
    assert_alike(whole, parts, 0.05, 0.05)


class LocalBytes(Callback):
    """Writes down what a worker keeps of weights, gradients and optimiser states between two steps.

    Args:
        folder: gets `bytes<rank>`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        tensors = [*pl_module.parameters(), *(one.grad for one in pl_module.parameters())]
        for optimizer in trainer.optimizers:
            tensors += [
                value for state in optimizer.state.values() for value in state.values() if value.ndim > 0
            ]
        num_bytes = sum(local_of(tensor).nbytes for tensor in tensors if tensor is not None)
        (self.folder / f"bytes{rank()}").write_text(str(num_bytes))


def test_each_worker_keeps_its_share_of_the_bytes(small_shards: Path, tmp_path: Path) -> None:
    found = {}
    for name, more in {"whole": [], "parts": sharded(3)}.items():
        folder = tmp_path / name
        folder.mkdir()
        plan = small_plan("lenet", "trainer.batch_size=18", "trainer.max_steps=4", *more)
        train(plan, small_shards, folder, 3, LocalBytes(folder))
        found[name] = [int((folder / f"bytes{number}").read_text()) for number in range(3)]
    num_bytes = sum(value.nbytes for value in weights(tmp_path / "whole").values())
    assert found["whole"] == [4 * num_bytes] * 3  # weights, gradients, and AdamW's two moments
    assert sum(found["parts"]) == 4 * num_bytes
    assert max(found["parts"]) < 1.05 * 4 * num_bytes / 3
