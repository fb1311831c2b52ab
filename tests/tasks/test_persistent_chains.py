"""Persistent chains are part of a training's state, on however many workers they live."""

from pathlib import Path

import pytest
import torch

from tests.training.small import small_plan, write_small_shards
from tests.training.together import Recorder, train_together


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data") / "shards" / "fashion_mnist"
    write_small_shards(out)
    return out


def test_two_workers_go_on_with_the_chains_of_each(shards: Path, tmp_path: Path) -> None:
    plan = small_plan("rbm", "model.hidden_size=16", "optimizer.lr=0.01")
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert train_together(plan, shards, whole, 2, [Recorder(whole)]) == [0, 0]
    assert train_together(plan, shards, stopped, 2, [Recorder(stopped, stop=(1, 20))]) == [1, 1]
    checkpoint = torch.load(stopped / "checkpoints" / "last.ckpt", weights_only=True)
    first, second = checkpoint["state_dict"]["particles"].chunk(2)
    assert first.shape == second.shape == (8, 16)
    assert not torch.equal(first, second)
    assert train_together(plan, shards, stopped, 2, [Recorder(stopped)]) == [0, 0]
    ended, expected = (torch.load(folder / "weights.pt", weights_only=True) for folder in (stopped, whole))
    for name, weights in expected.items():
        assert torch.equal(ended[name], weights), name


def test_another_number_of_workers_shares_the_chains(shards: Path, tmp_path: Path) -> None:
    plan = small_plan("rbm", "model.hidden_size=16", "optimizer.lr=0.01")
    assert train_together(plan, shards, tmp_path, 2, [Recorder(tmp_path, stop=(0, 20))]) == [1, 1]
    assert train_together(plan, shards, tmp_path, 1) == [0]
    checkpoint = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["state_dict"]["particles"].shape == (16, 16)
