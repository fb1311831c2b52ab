"""Tasks of several steps, and optimisers that want a closure: as a loop by hand takes them."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.plugins.precision import MixedPrecision
from torch import Tensor
from torch.optim import LBFGS, SGD, Adam, Optimizer

from modules.models.adversarial.neural_cryptography import NeuralCryptography
from modules.tasks.encryption import Encryption
from modules.tasks.step import Step
from modules.training.training_step import Optimisation, TrainingModule

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


def weights(of: Encryption) -> dict[str, Tensor]:
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
    rates = {name: [g["lr"] for g in o.param_groups][0] for name, (_, o) in optimizers.items()}
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

        def closure(batch: dict[str, Tensor] = batch) -> Tensor:
            optimizer.zero_grad()
            loss = step.loss(batch).quotient
            loss.backward()
            return loss

        first_losses.append(optimizer.step(closure).item())

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
