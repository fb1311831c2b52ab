"""A training's curves, its progress, and how it ends when it cannot go on."""

import io
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from modules.configuration.errors import UserError
from modules.configuration.plans.run_plan import Plan
from modules.datamodules.shard_loader import EvaluationLoader
from modules.datamodules.shard_set import ShardSet
from modules.metrics.mean import Mean
from modules.tasks.task import Task
from modules.training.fit import fit
from modules.training.monitoring.curves import Curves
from modules.training.random_state import RandomState, seed_all
from modules.training.runs.checkpoint import read_checkpoint
from tests.training.small import recipes_of_every_task, small_loader, small_plan


class Sink:
    """Keeps what a tracker would get."""

    def __init__(self) -> None:
        self.points: list[tuple[str, float, int]] = []
        self.num_flushed = 0

    def metric(self, name: str, value: float, step: int) -> None:
        self.points.append((name, value, step))

    def flush(self) -> None:
        self.num_flushed = len(self.points)


def train(plan: Plan, shards: Path, checkpoint: Path, **keywords: Any) -> tuple[Task, Curves, dict[str, Any]]:
    data = ShardSet.open(shards)
    loader = small_loader(plan, data)
    keywords.setdefault("console", Console(quiet=True))
    return fit(plan, loader, EvaluationLoader(data.split("validation"), 50), checkpoint, **keywords)


def test_curves_hold_what_was_trained(small_shards: Path, tmp_path: Path) -> None:
    sink, text = Sink(), io.StringIO()
    _, curves, figures = train(
        small_plan("lenet"), small_shards, tmp_path / "last.ckpt", sink=sink, console=Console(file=text)
    )
    steps = figures["steps"]
    assert [step for step, _ in curves.history["train/loss"]] == [*range(5, steps, 5), steps]
    assert [step for step, _ in curves.history["validation/accuracy"]] == [steps // 2, steps]
    assert curves.history["train/loss"][-1][1] < curves.history["train/loss"][0][1]
    assert curves.history["validation/accuracy"][-1][1] > 0.9
    # Warm-up over the first twentieth, then down: step n of the optimiser is progress (n - 1) / steps.
    rates = {int(step): rate for step, rate in curves.history["train/learning_rate"]}
    assert rates[5] == pytest.approx(small_plan("lenet").optimizer["lr"] * 4 / steps / 0.05)
    assert sorted(sink.points) == sorted(
        (name, value, step) for name, points in curves.history.items() for step, value in points
    )
    assert sink.num_flushed == len(sink.points)
    assert figures["samples_per_s"] > 0
    lines = text.getvalue().splitlines()
    assert len(lines) == 2  # no terminal: one line for each epoch
    assert "epoch 2/2" in lines[1]
    assert "validation/accuracy" in lines[1]


def test_every_step_is_in_a_point_of_the_loss(small_shards: Path, tmp_path: Path) -> None:
    """The last point is the mean of the steps that are left, of a short training of all."""

    def points(every_steps: int) -> list[list[float]]:
        plan = small_plan("perceptron", f"trainer.log_every_steps={every_steps}")
        return train(plan, small_shards, tmp_path / f"{every_steps}.ckpt")[1].history["train/loss"]

    losses = [loss for _, loss in points(1)]
    for every_steps in (7, 10_000):
        ends = [*range(every_steps, len(losses), every_steps), len(losses)]
        means = [np.mean(losses[first:stop]) for first, stop in pairwise([0, *ends])]
        found = points(every_steps)
        assert [step for step, _ in found] == ends
        assert [loss for _, loss in found] == pytest.approx(means)


@pytest.mark.parametrize("recipe", recipes_of_every_task())
def test_a_task_measures_what_it_says(recipe: str, small_shards: Path, tmp_path: Path) -> None:
    task, curves, _ = train(small_plan(recipe, "trainer.max_epochs=1"), small_shards, tmp_path / "last.ckpt")
    assert {
        name for name in curves.history if not name.startswith("train/")
    } == task.validation_metrics.keys()


def test_a_terminal_gets_a_bar(small_shards: Path, tmp_path: Path) -> None:
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=120)
    train(small_plan("neuron"), small_shards, tmp_path / "last.ckpt", console=console)
    assert "samples/s" in text.getvalue()
    assert "epoch 1/2" in text.getvalue()


def test_same_seed_same_weights_other_seed_others(small_shards: Path, tmp_path: Path) -> None:
    weights = []
    for number, seed in enumerate((3, 3, 4)):
        plan = small_plan("lenet_digits", f"seed={seed}", "trainer.max_epochs=1")
        task, _, _ = train(plan, small_shards, tmp_path / str(number) / "last.ckpt")
        weights.append(torch.cat([parameter.detach().flatten() for parameter in task.model.parameters()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_finished_checkpoint_needs_no_step(small_shards: Path, tmp_path: Path) -> None:
    first, curves, _ = train(small_plan("neuron"), small_shards, tmp_path / "last.ckpt")
    again, same_curves, figures = train(small_plan("neuron"), small_shards, tmp_path / "last.ckpt")
    assert same_curves.history == curves.history
    assert figures["seconds_total"] > figures["seconds"]
    for before, after in zip(first.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(before, after)


@pytest.mark.parametrize("block_steps", [1, 4])
def test_divergence_is_one_line_and_keeps_the_last_good_checkpoint(
    block_steps: int, small_shards: Path, tmp_path: Path
) -> None:
    path = tmp_path / "last.ckpt"
    plan = small_plan(
        "perceptron",
        f"trainer.block_steps={block_steps}",
        "trainer.checkpoint_every_steps=4",
        "schedule.warmup_fraction=0.5",
    )
    # Weights that grow without bounds: the norm overflows before or after the loss does.
    plan = plan.changed(optimizer={"_target_": "torch.optim.SGD", "lr": 1e10})
    with pytest.raises(UserError, match=r"diverged: .* at step \d+, learning rate .*Lower") as ended:
        train(plan, small_shards, path)
    assert "\n" not in str(ended.value)
    if path.exists():
        weights = read_checkpoint(path)["state_dict"].values()
        assert all(tensor.isfinite().all() for tensor in weights)


def test_divergence_after_a_good_start_keeps_the_start(
    small_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from modules.tasks.classification import Classification

    losses = iter(range(1000))
    good = Classification.loss

    def poisoned(self: Any, batch: Any) -> Mean:
        loss = good(self, batch)
        return Mean(loss.total * (float("nan") if next(losses) == 29 else 1.0), loss.count)

    monkeypatch.setattr(Classification, "loss", poisoned)
    with pytest.raises(UserError, match="the loss is nan at step 30, learning rate"):
        train(small_plan("neuron"), small_shards, tmp_path / "last.ckpt")
    assert read_checkpoint(tmp_path / "last.ckpt")["global_step"] == 24


def test_an_accelerator_that_is_not_there_is_one_line(small_shards: Path, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(UserError, match="accelerator"):
        train(small_plan("neuron", "runtime.accelerator=cuda"), small_shards, tmp_path / "last.ckpt")


def test_generators_are_restored_in_mid_epoch_and_seeded_at_its_start() -> None:
    class Trainer:
        current_epoch = 3

    def draw() -> list[float]:
        return [random.random(), float(np.random.rand()), float(torch.rand(())), float(np.random.randn())]

    state = RandomState(seed=7)
    state.on_train_batch_start(Trainer(), None, None, batch_idx=0)  # type: ignore[arg-type]
    start = draw()
    kept = state.state_dict()
    expected = draw()
    other = RandomState(seed=7)
    seed_all(0, 0)
    other.load_state_dict(kept)
    other.on_train_batch_start(Trainer(), None, None, batch_idx=5)  # type: ignore[arg-type]
    assert draw() == expected
    other.load_state_dict(kept)
    other.on_train_batch_start(Trainer(), None, None, batch_idx=0)  # type: ignore[arg-type]
    assert draw() == start
