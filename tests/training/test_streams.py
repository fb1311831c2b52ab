"""Truncated backpropagation through time: the state goes on from window to window, also after a kill and with
another number of workers."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from modules.configuration.plans.run_plan import Plan
from modules.configuration.schema.trainer_settings import OrderSettings
from modules.datamodules.blocks import Block
from modules.datamodules.shard_loader import EvaluationLoader, TrainingLoader
from modules.datamodules.shard_set import ShardSet
from modules.metrics.mean import Mean
from modules.tasks.language_modelling import LanguageModelling
from modules.training.fit import initial_task
from modules.training.runs.checkpoint import read_checkpoint
from tests.datamodules.ragged_data import write_text
from tests.training.small import forget_origin, small_plan
from tests.training.test_resume import assert_same, at, result, run
from tests.training.together import train_together

ALPHABET = [chr(number) for number in range(33, 103)]


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents of 1 to 60 letters, each a walk through the alphabet."""
    rng = np.random.default_rng(0)
    texts = []
    for _ in range(150):
        steps = rng.integers(1, 4, rng.integers(1, 61)).cumsum() + rng.integers(70)
        texts.append("".join(ALPHABET[step % 70] for step in steps))
    changes: dict[str, Any] = {"splits": {"validation": {"from": "train", "fraction": 0.1}}}
    changes |= {"name": "king_james_bible", "samples_per_record": 50}
    folder = tmp_path_factory.mktemp("streams")
    write_text(folder, texts, {"kind": "characters", "size": 74}, **changes)
    forget_origin(folder / "texts")
    return folder / "texts"


def plan_of_stream(*overrides: str, cell: str = "lstm") -> Plan:
    return small_plan(
        "char_lstm",
        "model.hidden_size=12",
        "model.num_layers=2",
        f"model.cell={cell}",
        "trainer.order.window=5",
        *overrides,
        data="king_james_bible",
    )


def batches(blocks: Iterator[Block]) -> Iterator[dict[str, torch.Tensor]]:
    for block in blocks:
        for fields in zip(*block.values(), strict=True):
            yield dict(zip(block, fields, strict=True))


@pytest.mark.parametrize("cell", ["lstm", "gru", "elman"])
def test_windows_cost_what_whole_texts_cost(shards: Path, cell: str) -> None:
    """One strand reads every text from its begin to its end: nothing is lost at the borders of windows."""
    split = ShardSet.open(shards).split("train")
    task = initial_task(plan_of_stream(cell=cell))
    assert isinstance(task, LanguageModelling)
    loader = TrainingLoader(split, 1, 8, seed=0, order=OrderSettings("stream", window=5))
    whole, windows = [], []
    with torch.no_grad():
        for batch in EvaluationLoader(split, 20):
            losses, keep = task.token_losses(batch)
            whole.append(Mean.of(losses, keep))
        windows = [task.loss(batch) for batch in batches(iter(loader))]
    sums = [sum(float(mean.total) for mean in means) for means in (whole, windows)]
    counts = [sum(int(mean.count) for mean in means) for means in (whole, windows)]
    assert counts[0] == counts[1]
    assert sums[1] == pytest.approx(sums[0], rel=1e-5)
    assert len(windows) > 3 * split.num_samples


def test_gradients_end_at_the_border_of_a_window(shards: Path) -> None:
    split = ShardSet.open(shards).split("train")
    task = initial_task(plan_of_stream())
    loader = TrainingLoader(split, 8, 8, seed=0, order=OrderSettings("stream", window=5))
    for batch in batches(iter(loader)):
        task.loss(batch).quotient.backward()  # would fail on the graph of the window before, freed already
    assert isinstance(task, LanguageModelling)
    assert not any(tensor.requires_grad for tensor in task.carried.tensors)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("order", "batch_size", "number", "step"),
    [
        ("stream", 16, signal.SIGKILL, 30),
        ("stream", 16, signal.SIGTERM, 44),
        ("bucketed", 4, signal.SIGKILL, 45),
    ],
)
def test_a_killed_run_goes_on_bit_for_bit(
    shards: Path, tmp_path: Path, order: str, batch_size: int, number: int, step: int
) -> None:
    """In a stream, and in the middle of an epoch of texts that are bucketed by their length."""
    plan = plan_of_stream(f"trainer.order.kind={order}", f"trainer.batch_size={batch_size}")
    assert run(plan, shards, tmp_path / "whole", lambda step: None)[0] == 0
    status, last = run(plan, shards, tmp_path / "killed", at(step, number))
    assert status != 0
    assert last < run(plan, shards, tmp_path / "killed", lambda step: None)[1]
    assert_same(result(tmp_path / "killed"), result(tmp_path / "whole"))


def test_a_checkpoint_holds_the_state_of_every_strand(shards: Path, tmp_path: Path) -> None:
    plan = plan_of_stream("trainer.batch_size=6")
    run(plan, shards, tmp_path, at(30, signal.SIGTERM))
    found = read_checkpoint(tmp_path / "last.ckpt")["state_dict"]
    states = {name: tensor for name, tensor in found.items() if name.startswith("carried_state.")}
    assert [tuple(tensor.shape) for tensor in states.values()] == [(6, 12)] * 4
    assert all(tensor.abs().sum() > 0 for tensor in states.values())


@pytest.mark.slow
def test_workers_carry_the_strands_of_one(shards: Path, tmp_path: Path) -> None:
    plan = plan_of_stream("optimizer=sgd", "optimizer.lr=0.1")
    weights: list[dict[str, Any]] = []
    for workers in (1, 2):
        folder = tmp_path / str(workers)
        assert train_together(plan, shards, folder, workers) == [0] * workers
        weights.append(torch.load(folder / "weights.pt", weights_only=True))
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=1e-3, atol=1e-5)
