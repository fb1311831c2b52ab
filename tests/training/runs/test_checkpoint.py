"""Checkpoints are written whole or not at all, and a hostile one is refused before anything of it runs."""

import os
import resource
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from modules.configuration.errors import UserError
from modules.datamodules.shard_loader import TrainingLoader
from modules.datamodules.shard_set import ShardSet
from modules.training.fit import fit
from modules.training.runs.checkpoint import read_checkpoint, save_tensors
from tests.training.small import small_plan


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def train(shards: Path, checkpoint: Path, *overrides: str) -> None:
    plan = small_plan("neuron", "trainer.max_epochs=1", *overrides)
    loader = TrainingLoader(ShardSet.open(shards).split("train"), 16, 4, seed=0)
    fit(plan, loader, None, checkpoint, console=Console(quiet=True))


@pytest.fixture(scope="module")
def checkpoint(small_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a real training."""
    path = tmp_path_factory.mktemp("checkpoints") / "last.ckpt"
    train(small_shards, path)
    return path


def test_holds_all_that_a_resumed_run_needs(checkpoint: Path) -> None:
    content = read_checkpoint(checkpoint)
    assert content["global_step"] > 50
    assert {"RandomState", "LossCurve"} <= content["callbacks"].keys()
    assert content["optimizer_states"][0]["state"]


@pytest.mark.parametrize(
    "addition",
    [
        {"hyper_parameters": {"_instantiator": "os.system", "command": "touch owned"}},
        {"hyper_parameters": {}},
        {"_instantiator": "builtins.eval"},
        {"hparams_name": "config"},
        {"datamodule_hyper_parameters": {"path": "x"}},
        {"callbacks": {"RandomState": {"torch": torch.Size([1])}}},
        {"epoch": np.float64(3)},
    ],
    ids=lambda addition: "/".join(addition),
)
def test_what_no_training_writes_is_refused(
    addition: dict[str, Any], checkpoint: Path, tmp_path: Path
) -> None:
    content = torch.load(checkpoint, weights_only=True)
    path = tmp_path / "last.ckpt"
    torch.save({**content, **addition}, path)
    with pytest.raises(UserError) as refused:
        read_checkpoint(path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("place", ["state_dict", "callbacks", "loops", "hyper_parameters"])
def test_a_pickled_call_is_not_made(place: str, checkpoint: Path, small_shards: Path, tmp_path: Path) -> None:
    content = torch.load(checkpoint, weights_only=True)
    content.setdefault(place, {})["bomb"] = Bomb(tmp_path / "owned")
    path = tmp_path / "last.ckpt"
    torch.save(content, path)
    with pytest.raises(UserError, match="nothing of it was run"):
        train(small_shards, path)
    assert not (tmp_path / "owned").exists()


def test_damaged_checkpoints_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    content = checkpoint.read_bytes()
    path = tmp_path / "last.ckpt"
    for damaged in (
        b"",
        b"\x80\x02",
        content[:100],
        content[: len(content) // 2],
        content[1000:],
        b"x" * 5000,
    ):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="checkpoint"):
            read_checkpoint(path)
    torch.save([1, 2], path)
    with pytest.raises(UserError, match="not a checkpoint"):
        read_checkpoint(path)


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    save_tensors({"step": 1}, path)
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises((OSError, RuntimeError)):
            save_tensors({"step": 2, "weights": torch.zeros(100_000)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, previous)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]
