"""Callbacks that a configuration names, and profilers: they watch, and change no bit."""

import json
from pathlib import Path

import pytest
import torch
from rich.console import Console

from modules.configuration.errors import UserError
from modules.configuration.plans.run_plan import Plan
from modules.datamodules.shard_set import ShardSet
from modules.training.fit import fit
from modules.training.own_callbacks import own_callbacks
from modules.training.runs.run import train
from modules.training.runs.run_folder import RunFolder
from tests.training.small import small_loader, small_plan
from tests.training.together import shown_together, train_together

TIMER = "{_target_: pytorch_lightning.callbacks.Timer}"


def trained(plan: Plan, shards: Path, folder: Path) -> dict[str, torch.Tensor]:
    loader = small_loader(plan, ShardSet.open(shards))
    task, _, _ = fit(plan, loader, None, folder / "checkpoints" / "last.ckpt", console=Console(quiet=True))
    return task.model.state_dict()


@pytest.mark.parametrize("block_steps", [1, 4])
def test_they_watch_and_change_no_bit(block_steps: int, small_shards: Path, tmp_path: Path) -> None:
    blocks = f"trainer.block_steps={block_steps}"
    plain = trained(small_plan("lenet", blocks), small_shards, tmp_path / "plain")
    plans = {
        "simple": small_plan("lenet", blocks, "profiler=simple"),
        "pytorch": small_plan("lenet", blocks, "profiler=pytorch", "callbacks=device_stats"),
    }
    for name, plan in plans.items():
        weights = trained(plan, small_shards, tmp_path / name)
        assert all(torch.equal(weight, plain[key]) for key, weight in weights.items()), name
    assert not (tmp_path / "plain" / "profile").exists()
    table = (tmp_path / "simple" / "profile" / "fit-simple.txt").read_text()
    assert "run_training_epoch" in table
    profile = tmp_path / "pytorch" / "profile"
    assert "aten::convolution" in (profile / "operations.txt").read_text()
    assert json.loads((profile / "trace.json").read_text())["traceEvents"]


def test_each_worker_has_its_own(small_shards: Path, tmp_path: Path) -> None:
    plan = small_plan("neuron", "callbacks=device_stats", "profiler=pytorch")
    assert train_together(plan, small_shards, tmp_path, 2) == [0, 0], shown_together(tmp_path, 2)
    history = json.loads((tmp_path / "history.json").read_text())
    assert any(name.startswith("DeviceStatsMonitor") and "cpu" in name for name in history)
    names = {path.name for path in (tmp_path / "profile").iterdir()}
    assert names == {"operations.txt", "trace.json", "rank1-operations.txt", "rank1-trace.json"}


def test_a_state_is_in_the_checkpoint(small_shards: Path, tmp_path: Path) -> None:
    plan = small_plan("neuron", f"+callbacks.timer={TIMER}")
    folder = RunFolder(tmp_path)
    train(plan, "0" * 64, small_shards, folder, Console(quiet=True))
    state = torch.load(folder.checkpoint, weights_only=True)["callbacks"]
    assert any("Timer" in key for key in state)
    again = train(plan, "0" * 64, small_shards, folder, Console(quiet=True))
    assert again["status"] == "FINISHED"


def test_two_states_of_one_kind_are_refused(tmp_path: Path) -> None:
    plan = small_plan("neuron", f"+callbacks.a={TIMER}", f"+callbacks.b={TIMER}")
    with pytest.raises(UserError, match=r"callbacks\.a and callbacks\.b are of one kind"):
        own_callbacks(plan, tmp_path)


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        (["+callbacks.x={_target_: pytorch_lightning.callbacks.ModelCheckpoint}"], "ModelCheckpoint is not"),
        (["+callbacks.x={_target_: pytorch_lightning.callbacks.LambdaCallback}"], "LambdaCallback is not"),
        (["+callbacks.x={_target_: modules.models.feedforward.perceptron.Perceptron}"], "is not a callback"),
        (["+callbacks.x={_target_: pytorch_lightning.Trainer}"], "is not allowed"),
        (["+callbacks.x={_target_: pytorch_lightning.callbacks.Tim}"], "Did you mean .*Timer"),
        (["+callbacks.x={_target_: pytorch_lightning.callbacks.Timer, tim: 1}"], "Timer has no 'tim'"),
        (["+callbacks.x={a: 1}"], "has no _target_"),
        (["profiler=pytorch", "profiler.num_blocks=0"], "profiler.num_blocks: 0 is below 1"),
        (["profiler=pytorch", "profiler.kind=fast"], "profiler.kind"),
    ],
)
def test_what_is_no_callback_is_one_line(overrides: list[str], problem: str) -> None:
    with pytest.raises(UserError, match=problem) as caught:
        small_plan("neuron", *overrides)
    assert "\n" not in str(caught.value)
