"""Norms of gradients by layer: what they are, that they disturb nothing, and that none is lost."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback
from rich.console import Console

from modules.datamodules.shard_loader import EvaluationLoader, TrainingLoader
from modules.datamodules.shard_set import ShardSet
from modules.training.fit import fit
from tests.training.small import small_plan

LAYERS = [f"train/gradient_norm/{name}.linear" for name in ("hidden.0", "hidden.1", "output")]


class Watch(Callback):
    """Keeps every norm as torch itself computes it, and breaks down where it is told to."""

    def __init__(self, break_at: int = -1) -> None:
        self.break_at = break_at
        self.norms: list[list[float]] = []

    def on_before_optimizer_step(self, trainer: Any, module: Any, optimizer: Any) -> None:
        weights = [weight for name, weight in module.task.model.named_parameters() if name.endswith("weight")]
        self.norms.append([weight.grad.norm().item() for weight in weights])
        if len(self.norms) == self.break_at:
            raise ConnectionError("broken down")


def train(shards: Path, folder: Path, *overrides: str, watch: Watch | None = None) -> tuple[Any, Any]:
    plan = small_plan("perceptron", *overrides)
    settings = plan.trainer
    data = ShardSet.open(shards)
    loader = TrainingLoader(data.split("train"), settings.batch_size, settings.block_steps, plan.seed)
    validation = EvaluationLoader(data.split("validation"), 50)
    callbacks = [watch] if watch else []
    task, curves, _ = fit(
        plan, loader, validation, folder / "last.ckpt", console=Console(quiet=True), callbacks=callbacks
    )
    return task.model.state_dict(), curves.history


@pytest.mark.parametrize("block_steps", [1, 4])
def test_each_point_is_the_mean_of_the_norms_before_they_are_clipped(
    block_steps: int, small_shards: Path, tmp_path: Path
) -> None:
    watch = Watch()
    options = ("trainer.log_gradient_norms=true", "trainer.gradient_clip_norm=0.01")
    _, history = train(small_shards, tmp_path, *options, f"trainer.block_steps={block_steps}", watch=watch)
    assert [name for name in history if "gradient_norm" in name] == LAYERS
    assert len(watch.norms) > 100
    for number, name in enumerate(LAYERS):
        steps, means = zip(*history[name], strict=True)
        assert list(steps) == list(range(5, len(watch.norms) + 1, 5))
        expected = [sum(norms[number] for norms in watch.norms[step - 5 : step]) / 5 for step in steps]
        assert list(means) == pytest.approx(expected, rel=1e-5)
        assert max(means) > 0.01


def test_looking_changes_nothing(small_shards: Path, tmp_path: Path) -> None:
    weights, history = train(small_shards, tmp_path / "plain")
    watched, its_history = train(small_shards, tmp_path / "watched", "trainer.log_gradient_norms=true")
    assert all(torch.equal(watched[name], weight) for name, weight in weights.items())
    assert {name: its_history[name] for name in history} == history
    assert its_history.keys() - history.keys() == set(LAYERS)


def test_a_training_that_breaks_down_between_two_points_loses_none(
    small_shards: Path, tmp_path: Path
) -> None:
    option = "trainer.log_gradient_norms=true"
    _, whole = train(small_shards, tmp_path / "whole", option)
    for break_at in (18, 21):
        with pytest.raises(ConnectionError):
            train(small_shards, tmp_path / "broken", option, watch=Watch(break_at))
    _, resumed = train(small_shards, tmp_path / "broken", option)
    assert resumed == whole
