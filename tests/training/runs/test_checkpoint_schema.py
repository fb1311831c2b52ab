"""A checkpoint that does not fit is one line before the first step; the run goes on from the one before."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import nn

from modules.configuration.errors import UserError
from modules.datamodules.shard_loader import TrainingLoader
from modules.datamodules.shard_set import ShardSet
from modules.training.fit import fit
from modules.training.runs.checkpoint import BEFORE, read_checkpoint
from modules.training.runs.checkpoint_schema import (
    CheckpointError,
    check_model,
    check_optimizers,
    settings_of,
)
from modules.weights.state_dict import read_state_dict
from tests.training.small import small_plan


def train(shards: Path, checkpoint: Path, max_epochs: int = 2) -> dict[str, torch.Tensor]:
    plan = small_plan("neuron", f"trainer.max_epochs={max_epochs}")
    loader = TrainingLoader(ShardSet.open(shards).split("train"), 16, 4, seed=0)
    task, _, _ = fit(plan, loader, None, checkpoint, console=Console(quiet=True))
    return task.state_dict()


@pytest.fixture(scope="module")
def folder(small_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoints of a training that saved more than once."""
    path = tmp_path_factory.mktemp("checkpoints") / "last.ckpt"
    train(small_shards, path)
    return path.parent


WEIGHTS = {"a": torch.zeros(2, 3), "n": torch.zeros(1, dtype=torch.int64)}
MISFITS = {
    "shape": ({"a": torch.zeros(3, 2)}, r"a is \[3, 2\] there and \[2, 3\] here"),
    "dtype": ({"a": torch.zeros(2, 3, dtype=torch.int64)}, "a is torch.int64 there"),
    "nan": ({"a": torch.full((2, 3), torch.nan)}, "a holds NaN or infinity"),
    "infinite": ({"a": torch.full((2, 3), torch.inf)}, "a holds NaN or infinity"),
    "text": ({"a": "x"}, "no weights by name"),
    "extra": ({"b": torch.zeros(1)}, "'b' is no weight"),
    "missing": ({"a": None}, "a is missing"),
}


@pytest.mark.parametrize(("change", "problem"), MISFITS.values(), ids=MISFITS)
def test_weights_fit_by_name_shape_and_kind(change: dict[str, Any], problem: str) -> None:
    check_model(WEIGHTS, WEIGHTS)
    check_model(WEIGHTS, WEIGHTS | {"a": torch.zeros(2, 3, dtype=torch.float64)})
    found = {name: value for name, value in {**WEIGHTS, **change}.items() if value is not None}
    with pytest.raises(CheckpointError, match=problem):
        check_model(WEIGHTS, found)


STRANGE = {
    "sparse": (lambda: torch.eye(3).to_sparse(), "sparse tensor"),
    "quantised": (lambda: torch.ones(3).to(torch.float8_e4m3fn), "tensor of torch.float8_e4m3fn"),
    "complex": (lambda: torch.ones(3, dtype=torch.complex64), "tensor of torch.complex64"),
}


@pytest.mark.parametrize(("made", "problem"), STRANGE.values(), ids=STRANGE)
def test_a_tensor_that_no_training_writes_is_refused(
    made: Any, problem: str, folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "last.ckpt"
    content = torch.load(folder / "last.ckpt", weights_only=True)
    content["callbacks"]["LossCurve"]["x"] = made()
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=problem):
        read_checkpoint(path)
    torch.save({"weight": made()}, path)
    with pytest.raises(UserError, match=problem):
        read_state_dict(path, "Train it again")


@pytest.mark.parametrize("name", ["AdamW", "SGD", "Adafactor", "LBFGS"])
def test_an_optimisers_state_has_the_shapes_of_its_weights(name: str) -> None:
    layer = nn.Linear(3, 2)
    keywords = {"momentum": 0.9} if name == "SGD" else {}
    optimizer = getattr(torch.optim, name)(layer.parameters(), lr=0.1, **keywords)
    configured = settings_of([optimizer])

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = layer(torch.ones(1, 3)).square().sum()
        loss.backward()
        return loss

    for _ in range(3):
        optimizer.step(closure)
    check_optimizers([optimizer], configured)
    key, value = next(
        (k, v)
        for k, v in optimizer.state[layer.weight].items()
        if isinstance(v, torch.Tensor) and v.numel() > 1
    )
    for wrong in (torch.zeros(7, 5), torch.full_like(value, torch.nan)):
        optimizer.state[layer.weight][key] = wrong
        with pytest.raises(CheckpointError, match=f"optimiser's {key}"):
            check_optimizers([optimizer], configured)


@pytest.mark.parametrize(
    ("key", "value"), [("initial_lr", 1e30), ("initial_lr", "1"), ("weight_decay", 5.0), ("betas", [0.9])]
)
def test_an_optimisers_settings_are_the_plans(key: str, value: Any) -> None:
    optimizer = torch.optim.AdamW(nn.Linear(3, 2).parameters(), lr=0.1)
    optimizer.param_groups[0]["initial_lr"] = 0.1
    configured = settings_of([optimizer])
    check_optimizers([optimizer], configured)
    optimizer.param_groups[0][key] = value
    with pytest.raises(CheckpointError, match=f"its optimiser has {key}="):
        check_optimizers([optimizer], configured)


BROKEN = {
    "weight": lambda content: content["state_dict"].update(extra=torch.zeros(1)),
    "no optimiser": lambda content: content.update(optimizer_states=[]),
    "group": lambda content: content["optimizer_states"][0]["param_groups"].clear(),
    "callback": lambda content: content["callbacks"].update(RandomState={}),
    "curves": lambda content: content["callbacks"].update(LossCurve={"history": 5, "sums": {}}),
    "loops": lambda content: content.update(loops={"fit_loop": 3}),
    "text": lambda content: content.update(epoch="x", global_step="y"),
    "version": lambda content: content.update({"pytorch-lightning_version": "99.x"}),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_whatever_does_not_fit_is_one_line(
    broken: Any, folder: Path, small_shards: Path, tmp_path: Path
) -> None:
    content = torch.load(folder / "last.ckpt", weights_only=True)
    broken(content)
    path = tmp_path / "last.ckpt"
    torch.save(content, path)
    with pytest.raises(UserError) as refused:
        train(small_shards, path, 3)
    assert "\n" not in str(refused.value)


def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    folder: Path, small_shards: Path, tmp_path: Path
) -> None:
    path = tmp_path / "last.ckpt"
    whole = train(small_shards, path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    again = train(small_shards, path)
    assert all(torch.equal(again[name], weight) for name, weight in whole.items())
    assert (tmp_path / "last.ckpt.damaged").is_file()


def test_a_flipped_byte_is_refused_or_means_the_same(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    content = (folder / BEFORE).read_bytes()
    whole = read_checkpoint(folder / BEFORE)
    for place in range(0, len(content), max(1, len(content) // 150)):
        changed = bytearray(content)
        changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        try:
            found = read_checkpoint(path)
        except CheckpointError:
            continue
        assert str(found) == str(whole), place


def test_a_fifo_or_a_link_is_refused_before_it_is_opened(folder: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.ckpt")
    (tmp_path / "link.ckpt").symlink_to(folder / "last.ckpt")
    for name, kind in (("fifo", "a FIFO"), ("link", "a link")):
        with pytest.raises(CheckpointError, match=f"is {kind}"):
            read_checkpoint(tmp_path / f"{name}.ckpt")
    with pytest.raises(UserError, match="is a FIFO"):
        read_state_dict(tmp_path / "fifo.ckpt", "Train it again")
