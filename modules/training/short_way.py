"""The short way from a batch to the next weights, where nothing but the training itself acts in between.

It leads where Lightning's `manual_backward` and `optimizer.step` lead, in a tenth of a millisecond less.
"""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from pytorch_lightning import Callback
from pytorch_lightning.plugins.precision import DoublePrecision, HalfPrecision, MixedPrecision, Precision
from pytorch_lightning.profilers import PassThroughProfiler
from pytorch_lightning.strategies import Strategy
from pytorch_lightning.utilities.model_helpers import is_overridden
from torch import Tensor, distributed, nn
from torch.optim import Optimizer

from modules.metrics.mean import Mean
from modules.tasks.optional_methods import OwnGradientStep
from modules.tasks.step import gradients_of
from modules.training.data_parallel import mean_over_workers, with_shared_count

if TYPE_CHECKING:
    from modules.training.training_step import TrainingModule

_STEP_HOOKS = ("on_before_backward", "on_after_backward", "on_before_optimizer_step")
"""What Lightning calls on callbacks between a loss and the next weights."""


def needs_closure(optimizer: Optimizer) -> bool:
    """Whether the optimiser evaluates the loss itself, several times a step (L-BFGS)."""
    return _needs_closure(type(optimizer))


@functools.cache  # asked at every step, and a signature takes as long as a small layer
def _needs_closure(kind: type[Optimizer]) -> bool:
    closure = inspect.signature(kind.step).parameters.get("closure")
    return closure is not None and closure.default is inspect.Parameter.empty


def take_step(optimizer: Optimizer, step: Callable[..., Any], evaluate: Callable[[], Mean]) -> Mean:
    """Takes an optimiser step.

    Args:
        optimizer: tells whether it needs a closure.
        step: takes the step, with a closure if that is needed.
        evaluate: computes the loss and leaves its gradients.

    Returns:
        The loss that the step began from.
    """
    if not needs_closure(optimizer):
        loss = evaluate()
        step()
        return loss
    losses: list[Mean] = []

    def closure() -> Tensor:
        losses.append(evaluate())
        # A line search decides by it, in each worker alike.
        return mean_over_workers(losses[-1].quotient.detach())

    step(closure)
    return losses[0]


def _backward(scaled: Tensor, inputs: Sequence[nn.Parameter] | None) -> None:
    if inputs != []:  # else all that would learn is frozen
        scaled.backward(inputs=inputs)


class ShortWay:
    """Takes the steps of a training module by itself.

    Args:
        module: whose steps they are.
    """

    def __init__(self, module: "TrainingModule") -> None:
        # In a tuple: a module that held the way, which held the module, would never end.
        self._module = (module,)
        # Asked once: `isinstance` looks through all methods of a protocol.
        self._own_step = module.task if isinstance(module.task, OwnGradientStep) else None
        self._inverse: tuple[Any, Tensor] | None = None

    @property
    def module(self) -> "TrainingModule":
        return self._module[0]

    def is_open(self) -> bool:
        """Whether nothing but this module itself acts between a loss and the weights that it leads to."""
        trainer = self.module.trainer
        callbacks: list[Callback] = trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
        heard = any(is_overridden(hook, callback, Callback) for callback in callbacks for hook in _STEP_HOOKS)
        return (
            not heard
            and type(trainer.strategy).backward is Strategy.backward
            and type(trainer.strategy).optimizer_step is Strategy.optimizer_step
            and type(trainer.precision_plugin) in (Precision, MixedPrecision, HalfPrecision, DoublePrecision)
            and getattr(trainer.precision_plugin, "scaler", None) is None
            and type(trainer.profiler) is PassThroughProfiler  # pyright: ignore[reportAttributeAccessIssue]
        )

    def once(self, turn: int, batch: dict[str, Tensor]) -> Mean:
        """Takes the step of a turn, and returns the loss before it."""
        trainer = self.module.trainer
        optimizer = trainer.optimizers[turn]
        progress = trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
        progress.increment_ready()
        # The task's own step, where it has one and nothing comes between gradient and weights.
        optimisation = self.module.optimisation
        alone = not distributed.is_initialized() and optimisation.gradient_clip_norm is None
        alone = alone and not self.module.micro_batches.in_use
        if alone and self._own_step is not None and not needs_closure(optimizer):
            loss = self._own_step.gradient_step(batch, optimizer)
        else:
            loss = take_step(optimizer, optimizer.step, lambda: self._evaluate(turn, batch, optimizer))
        progress.increment_completed()
        return loss

    def _evaluate(self, turn: int, batch: dict[str, Tensor], optimizer: Optimizer) -> Mean:
        module = self.module
        inputs = gradients_of(module.steps, module.steps[turn])
        if module.micro_batches.in_use:
            loss = module.micro_batches.backward(
                module.steps[turn], batch, lambda scaled: _backward(scaled, inputs), optimizer.zero_grad
            )
            module.trainer.strategy.post_backward(loss.total)
            module.on_before_optimizer_step(optimizer)
            return loss
        loss = with_shared_count(module.steps[turn].loss(batch))
        optimizer.zero_grad()
        if inputs != []:
            module.trainer.strategy.pre_backward(loss.total)
            loss.total.backward(self._inverse_count(loss), inputs=inputs)
        module.trainer.strategy.post_backward(loss.total)
        module.on_before_optimizer_step(optimizer)
        return loss

    def _inverse_count(self, loss: Mean) -> Tensor:
        """What the gradient of `loss.quotient` begins from, without the division's own operations."""
        if not isinstance(loss.count, int):
            return loss.count.to(loss.total.dtype).reciprocal()
        key = loss.count, loss.total.dtype, loss.total.device
        if self._inverse is None or self._inverse[0] != key:
            self._inverse = key, torch.ones_like(loss.total).detach() / loss.count
        return self._inverse[1]
