"""Tasks of several steps, and optimisers that want a closure: as a loop by hand takes them."""

import copy
import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.plugins.precision import MixedPrecision
from torch import Tensor
from torch.optim import LBFGS, SGD, Adam, Optimizer

from modules.configuration.errors import UserError
from modules.metrics.mean import Mean
from modules.models.adversarial.neural_cryptography import NeuralCryptography
from modules.tasks.encryption import Encryption, bits_apart
from modules.tasks.step import Step
from modules.tasks.task import Task
from modules.training.training_step import Optimisation, TrainingModule
from tests.training.small import small_plan
from tests.training.test_resume import assert_same, at, result, run
from tests.training.together import train_together

NUM_STEPS = 10
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*LeafSpec:FutureWarning",
    "ignore:.*does not have many workers",
    "ignore:.*val_dataloader",
    "ignore:The `srun` command",
)


class Blocks:
    """Always the same messages, `block_steps` batches at a time."""

    def __init__(self, block_steps: int = 1) -> None:
        generator = torch.Generator().manual_seed(0)
        bits = 2 * torch.randint(0, 2, (2, NUM_STEPS, 8, 4), dtype=torch.int8, generator=generator) - 1
        self.fields = {"message": bits[0], "key": bits[1]}
        self.block_steps = block_steps

    def __len__(self) -> int:
        return -(-NUM_STEPS // self.block_steps)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for start in range(0, NUM_STEPS, self.block_steps):
            yield {name: values[start : start + self.block_steps] for name, values in self.fields.items()}


class Listener(Callback):
    """Closes the short way, and counts."""

    num_steps = 0

    def on_before_optimizer_step(self, *rest: Any) -> None:
        self.num_steps += 1


class OnlyEve(Encryption):
    """Eve alone learns: one step."""

    def steps(self) -> list[Step]:
        for part in (self.model.alice, self.model.bob):
            part.requires_grad_(False)
        return [Step("train", list(self.model.parameters()), self.eve_loss)]


def by_step(step: Step) -> Optimizer:
    return Adam(step.learned, lr=0.02) if step.name == "eve" else SGD(step.learned, lr=0.1, momentum=0.5)


def lbfgs(step: Step) -> Optimizer:
    return LBFGS(step.learned, lr=0.5, max_iter=3, history_size=4, line_search_fn="strong_wolfe")


def trained(
    task: Encryption,
    build_optimizer: Callable[[Step], Optimizer],
    block_steps: int,
    callbacks: tuple[Callback, ...] = (),
    plugins: Any = None,
) -> TrainingModule:
    optimisation = Optimisation(build_optimizer, lambda progress: 1 - progress / 2, NUM_STEPS, block_steps)
    module = TrainingModule(copy.deepcopy(task), optimisation)
    trainer = Trainer(
        max_epochs=1,
        accelerator="cpu",
        callbacks=list(callbacks),
        plugins=plugins,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, Blocks(block_steps))
    assert module.global_step == NUM_STEPS
    return module


def task(kind: type[Encryption] = Encryption) -> Encryption:
    torch.manual_seed(0)
    return kind(NeuralCryptography(4))


def weights(of: Task) -> dict[str, Tensor]:
    return dict(of.model.state_dict())


def assert_equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


def test_steps_take_turns_as_in_a_loop_by_hand() -> None:
    made = task()
    by_hand = copy.deepcopy(made)
    first, second = by_hand.steps()
    optimizers = {step.name: (step, by_step(step)) for step in (first, second)}
    rates = {name: o.param_groups[0]["lr"] for name, (_, o) in optimizers.items()}
    for number, block in enumerate(Blocks()):
        step, optimizer = optimizers["alice_and_bob" if number % 3 == 0 else "eve"]
        optimizer.param_groups[0]["lr"] = rates[step.name] * (1 - number / NUM_STEPS / 2)
        loss = step.loss({name: values[0] for name, values in block.items()}).quotient
        gradients = torch.autograd.grad(loss, list(step.parameters))
        for parameter, gradient in zip(step.parameters, gradients, strict=True):
            parameter.grad = gradient
        optimizer.step()
    for block_steps in (1, 4):
        assert_equal(weights(trained(made, by_step, block_steps).task), weights(by_hand))
        listener = Listener()
        assert_equal(weights(trained(made, by_step, block_steps, (listener,)).task), weights(by_hand))
        assert listener.num_steps == NUM_STEPS


def test_an_optimizer_gets_the_closure_that_it_needs() -> None:
    made = task(OnlyEve)
    by_hand = copy.deepcopy(made)
    (step,) = by_hand.steps()
    optimizer = lbfgs(step)
    first_losses = []
    for number, block in enumerate(Blocks()):
        optimizer.param_groups[0]["lr"] = 0.5 * (1 - number / NUM_STEPS / 2)
        batch = {name: values[0] for name, values in block.items()}

        def closure(batch: dict[str, Tensor] = batch) -> Any:
            optimizer.zero_grad()
            loss = step.loss(batch).quotient
            loss.backward()
            return loss

        first_losses.append(torch.as_tensor(optimizer.step(closure)).item())

    class Losses(Callback):
        def __init__(self) -> None:
            self.found: list[float] = []

        def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, *rest: Any) -> None:
            self.found += outputs["loss"].reshape(-1).tolist()

    for block_steps in (1, 4):
        losses = Losses()
        assert_equal(weights(trained(made, lbfgs, block_steps, (losses,)).task), weights(by_hand))
        assert losses.found == pytest.approx(first_losses, rel=1e-6)
        assert_equal(weights(trained(made, lbfgs, block_steps, (Listener(),)).task), weights(by_hand))


def test_every_step_learns_under_scaled_gradients() -> None:
    made = task()
    after = weights(trained(made, by_step, 4, plugins=MixedPrecision("16-mixed", "cpu")).task)
    plain = weights(trained(made, by_step, 4).task)
    for name, before in weights(made).items():
        assert not torch.equal(after[name], before), name
        torch.testing.assert_close(after[name], plain[name], rtol=0.05, atol=0.02)


BY_STEP = (
    "optimizer=by_step",
    "+optimizer.eve._target_=torch.optim.SGD",
    "+optimizer.eve.lr=0.1",
    "+optimizer.eve.momentum=0.9",
    "+optimizer.alice_and_bob._target_=torch.optim.AdamW",
    "+optimizer.alice_and_bob.lr=0.01",
    "~optimizer.lr",
    "~optimizer.weight_decay",
)


@pytest.mark.parametrize("overrides", [(), BY_STEP])
def test_a_run_killed_in_the_middle_of_the_turns_ends_alike(
    overrides: tuple[str, ...], small_messages: Path, tmp_path: Path
) -> None:
    options = ("trainer.block_steps=2", "trainer.checkpoint_every_steps=4", "trainer.log_gradient_norms=true")
    plan = small_plan("neural_cryptography", *options, *overrides, data="random_messages")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert run(plan, small_messages, whole, lambda step: None)[0] == 0
    for kill, number in ((11, signal.SIGKILL), (20, signal.SIGTERM), (70, signal.SIGKILL)):
        status, _ = run(plan, small_messages, parts, at(kill, number))
        assert status == (-number if number == signal.SIGKILL else 128 + number)
    assert run(plan, small_messages, parts, lambda step: None)[0] == 0
    assert_same(result(parts), result(whole))
    curves = result(whole)["curves"]
    assert "train/loss" not in curves and "train/gradient_norm/eve.mix" in curves
    assert curves["train/eve/loss"] != curves["train/alice_and_bob/loss"]


def test_lbfgs_goes_on_where_it_was_killed(small_shards: Path, tmp_path: Path) -> None:
    plan = small_plan("neuron", "optimizer=lbfgs", "optimizer.max_iter=2", "optimizer.history_size=3")
    assert run(plan, small_shards, tmp_path / "whole", lambda step: None)[0] == 0
    assert run(plan, small_shards, tmp_path / "parts", at(30, signal.SIGKILL))[0] == -signal.SIGKILL
    assert run(plan, small_shards, tmp_path / "parts", lambda step: None)[0] == 0
    assert_same(result(tmp_path / "parts"), result(tmp_path / "whole"))


def test_workers_average_the_gradients_of_the_step_whose_turn_it_is(
    small_messages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bobs_error(self: Encryption, batch: dict[str, Tensor]) -> Mean:
        message, key = self.inputs(batch)
        return Mean.of(bits_apart(self.model(message, key)[0], message))

    monkeypatch.setattr(Encryption, "loss", bobs_error)  # the square of a mean is not the mean of squares
    plan = small_plan(
        "neural_cryptography",
        "task.eve_steps=2",
        "trainer.gradient_clip_norm=1.0",
        *BY_STEP,
        data="random_messages",
    )
    assert train_together(plan, small_messages, tmp_path / "1", 1) == [0]
    assert train_together(plan, small_messages, tmp_path / "2", 2) == [0, 0]
    alone, together = (
        torch.load(tmp_path / number / "weights.pt", weights_only=True) for number in ("1", "2")
    )
    for name, value in alone.items():
        torch.testing.assert_close(together[name], value, rtol=1e-3, atol=1e-4)
    eve, pair = (
        sum(value.numel() for name, value in alone.items() if ("eve" in name) == own) for own in (True, False)
    )
    summary = json.loads((tmp_path / "2" / "summary.json").read_text())
    assert summary["gradient_bytes_per_step"] == pytest.approx(4 * (2 * eve + pair) / 3)


def test_the_step_that_diverges_is_named(
    small_messages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = Encryption.eve_loss

    def poisoned(self: Encryption, batch: dict[str, Tensor]) -> Any:
        loss = good(self, batch)
        return type(loss)(loss.total * float("nan"), loss.count)

    monkeypatch.setattr(Encryption, "eve_loss", poisoned)
    plan = small_plan("neural_cryptography", data="random_messages")
    assert train_together(plan, small_messages, tmp_path, 1) == [1]
    said = (tmp_path / "error0").read_text()
    assert f"{UserError.__name__}: the training diverged: the loss of eve is nan at step 2" in said
