"""Parts of a sweep, without Ray: together they train every trial once, and the sweep takes their runs."""

import io
import os
import signal
import threading
import time
from pathlib import Path

import pytest
import ray
from rich.console import Console

from modules.configuration.errors import UserError
from modules.sweeps.control.controller import run_sweep
from modules.sweeps.control.sweep_part import train_part
from modules.sweeps.control.sweep_setup import Sweep, set_up
from tests.training.small import write_small_shards

SMALL = [
    "recipe=neuron",
    "data.samples_per_record=50",
    "trainer.max_epochs=1",
    "trainer.batch_size=16",
    "trainer.block_steps=4",
    "runtime.num_threads=1",
    "runtime.accelerator=cpu",
    "tracking=none",
]


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    write_small_shards(tmp_path / "data" / "shards" / "fashion_mnist")
    return tmp_path


def sweep_of(storage: Path, *overrides: str) -> Sweep:
    return set_up([*SMALL, f"runtime.storage={storage}", *overrides])


def runs(storage: Path) -> dict[str, int]:
    """When each run that is finished was."""
    return {path.parent.name: path.stat().st_mtime_ns for path in storage.glob("runs/*/summary.json")}


def test_parts_train_each_trial_once_and_the_sweep_needs_no_ray(storage: Path) -> None:
    sweep, console = sweep_of(storage, "optimizer.lr=0.01,0.02,0.03"), Console(file=io.StringIO())
    train_part(sweep, 1, 2, console)
    first = runs(storage)
    assert len(first) == 2
    train_part(sweep, 2, 2, console)
    trained = runs(storage)
    assert len(trained) == 3 and first.items() <= trained.items()
    train_part(sweep, 1, 2, console)
    result = run_sweep(sweep, console)
    assert result.counts == {"REUSED": 3} and result.best is not None
    assert runs(storage) == trained and not ray.is_initialized()


def test_a_trial_that_fails_leaves_the_others_of_its_part(
    storage: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = sweep_of(storage, "optimizer=sgd", "optimizer.lr=1e30,0.01,0.02")
    with pytest.raises(UserError, match=r"^1 of 2 trials of part 1 failed: trial 0: the training diverged"):
        train_part(sweep, 1, 2, Console(file=io.StringIO()))
    assert len(runs(storage)) == 1
    assert "trial 0 failed: the training diverged" in capsys.readouterr().err


def test_a_signal_ends_a_part_with_its_checkpoint_kept(storage: Path) -> None:
    sweep = sweep_of(storage, "trainer.max_epochs=1000", "seed=0,1")

    def interrupt() -> None:
        while not list(storage.glob("runs/*/checkpoints/last.ckpt")):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(SystemExit) as stopped:
        train_part(sweep, 1, 1, Console(file=io.StringIO()))
    assert stopped.value.code == 128 + signal.SIGTERM
    assert len(list(storage.glob("runs/*/checkpoints/last.ckpt"))) == 1 and not runs(storage)
