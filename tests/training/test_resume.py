"""A training that is killed and started again ends with the weights of one that was not."""

import multiprocessing
import os
import random
import signal
import sys
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback
from rich.console import Console

from modules.configuration.plans.run_plan import Plan
from modules.datamodules.shard_loader import EvaluationLoader
from modules.datamodules.shard_set import ShardSet
from modules.training.fit import fit
from modules.training.runs.checkpoint import save_tensors
from modules.training.runs.interruption import Interrupted
from tests.training.small import recipes_of_every_task, small_loader, small_plan


class Report(Callback):
    """Tells the parent process the step, as each block ends."""

    def __init__(self, parent: Connection) -> None:
        self.parent = parent

    def on_train_batch_end(self, trainer: Any, *rest: Any) -> None:
        self.parent.send(trainer.global_step)


def train_in_child(plan: Plan, shards: Path, folder: Path, parent: Connection) -> None:
    torch.set_num_threads(1)
    data = ShardSet.open(shards, None)
    training = small_loader(plan, data)
    validation = EvaluationLoader(data.split("validation"), 50)
    try:
        task, curves, _ = fit(
            plan,
            training,
            validation,
            folder / "last.ckpt",
            console=Console(file=(folder / "log").open("a")),
            callbacks=[Report(parent)],
        )
    except Interrupted as interrupted:
        os._exit(interrupted.exit_status)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    save_tensors({"weights": task.model.state_dict(), "curves": curves.history}, folder / "result.pt")
    sys.stdout.flush()
    os._exit(0)


def run(plan: Plan, shards: Path, folder: Path, stop: Callable[[int], int | None]) -> tuple[int, int]:
    """Trains in a process of its own, and sends it the signal that `stop` names at a step, if any.

    Returns:
        Its exit status and its last step.
    """
    folder.mkdir(parents=True, exist_ok=True)
    receiver, sender = multiprocessing.Pipe(duplex=False)
    context = multiprocessing.get_context("fork")
    process = context.Process(target=train_in_child, args=(plan, shards, folder, sender))
    process.start()
    sender.close()
    step = 0
    while True:
        try:
            step = receiver.recv()
        except EOFError:
            break
        number = stop(step)
        if number is not None:
            os.kill(process.pid or 0, number)
    process.join()
    receiver.close()
    return process.exitcode if process.exitcode is not None else -1, step


def at(kill: int, number: int) -> Callable[[int], int | None]:
    """Sends the signal at the first end of a block at or after a step."""
    return lambda step: number if step >= kill else None


def first_of_this_run(number: int) -> Callable[[int], int | None]:
    """Sends the signal once, at the end of the first block."""
    numbers = iter([number])
    return lambda step: next(numbers, None)


def result(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "result.pt", weights_only=True)


def assert_same(interrupted: dict[str, Any], uninterrupted: dict[str, Any]) -> None:
    for name, tensor in uninterrupted["weights"].items():
        assert torch.equal(interrupted["weights"][name], tensor), name
    assert interrupted["curves"] == uninterrupted["curves"]


@pytest.fixture(scope="module")
def uninterrupted(
    small_shards: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], dict[str, Any]]:
    """The result of a recipe that nobody disturbs."""
    results: dict[str, dict[str, Any]] = {}

    def train(recipe: str) -> dict[str, Any]:
        if recipe not in results:
            folder = tmp_path_factory.mktemp(recipe)
            status, _ = run(small_plan(recipe), small_shards, folder, lambda step: None)
            assert status == 0
            results[recipe] = result(folder)
        return results[recipe]

    return train


@pytest.mark.parametrize("recipe", recipes_of_every_task())
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_weights_and_curves_are_those_of_an_uninterrupted_run(
    recipe: str,
    number: int,
    small_shards: Path,
    tmp_path: Path,
    uninterrupted: Callable[[str], dict[str, Any]],
) -> None:
    # Several kills within the first epoch (of about 55 steps), one within the second, at any block.
    draw = random.Random(f"{recipe}{number}")
    kills = [*sorted(draw.sample(range(9, 52), 3)), draw.randrange(60, 100)]
    statuses = []
    for kill in kills:
        status, step = run(small_plan(recipe), small_shards, tmp_path, at(kill, number))
        assert step >= kill
        statuses.append(status)
    status, _ = run(small_plan(recipe), small_shards, tmp_path, lambda step: None)
    assert status == 0
    expected = -signal.SIGKILL if number == signal.SIGKILL else 128 + signal.SIGTERM
    assert statuses == [expected] * len(kills)
    assert_same(result(tmp_path), uninterrupted(recipe))


def test_signal_saves_at_the_end_of_the_block(small_shards: Path, tmp_path: Path) -> None:
    plan = small_plan("neuron", "trainer.checkpoint_every_steps=1000")
    for number in (signal.SIGINT, signal.SIGTERM):
        status, last = run(plan, small_shards, tmp_path, first_of_this_run(number))
        assert status == 128 + number
        assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == last


def test_killed_at_every_block(small_shards: Path, tmp_path: Path) -> None:
    """Also at the last block of an epoch, where validation follows before the state is saved."""
    plan = small_plan("perceptron", "trainer.block_steps=11", "trainer.checkpoint_every_steps=11")
    status, _ = run(plan, small_shards, tmp_path / "whole", lambda step: None)
    assert status == 0
    steps = []
    for _ in range(30):
        status, step = run(plan, small_shards, tmp_path / "killed", first_of_this_run(signal.SIGTERM))
        steps.append(step)
        if status == 0:
            break
    assert status == 0
    assert len(steps) >= 10  # the blocks of two epochs
    assert_same(result(tmp_path / "killed"), result(tmp_path / "whole"))


def test_block_size_changes_no_weight(
    small_shards: Path, tmp_path: Path, uninterrupted: Callable[[str], dict[str, Any]]
) -> None:
    # lenet_digits has dropout and augmentation; 1 is Lightning's own loop.
    for block_steps in (1, 13, 100):
        folder = tmp_path / str(block_steps)
        plan = small_plan("lenet_digits", f"trainer.block_steps={block_steps}")
        assert run(plan, small_shards, folder, lambda step: None)[0] == 0
        assert_same(result(folder), uninterrupted("lenet_digits"))


def test_resumes_under_lightnings_own_loop(small_shards: Path, tmp_path: Path) -> None:
    plan = small_plan("neuron", "trainer.block_steps=1", "trainer.gradient_clip_norm=0.5")
    assert run(plan, small_shards, tmp_path / "whole", lambda step: None)[0] == 0
    for kill in (3, 20, 54, 55, 80):
        run(plan, small_shards, tmp_path / "killed", at(kill, signal.SIGKILL))
    assert run(plan, small_shards, tmp_path / "killed", lambda step: None)[0] == 0
    assert_same(result(tmp_path / "killed"), result(tmp_path / "whole"))
