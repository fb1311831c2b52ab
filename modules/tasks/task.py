"""A learning problem as a LightningModule: the one base of every task, and the loop over a block of batches.

Lightning pays 200 to 600 microseconds for each call of `training_step`, as much as a small network's whole
step. So a call receives a *block*: `block_steps` batches stacked, `[steps, batch, ...]`, and takes one
optimiser step for each. `block_steps: 1` is Lightning's automatic optimisation; both give the same weights
bit for bit, because everything that acts on a batch (learning rate, augmentation, dropout, clipping) acts
batch by batch in either. (But for rounding, where a task has a `descend` of its own.)

In a block all of Lightning still holds: precision plugin and autocast, `manual_backward` and
`optimizer.step` with their hooks, `global_step` as the number of optimiser steps, `self.log`. What comes
once a block instead of once a batch are the hooks `on_train_batch_start` and `on_train_batch_end`; the
latter finds the losses of all steps in `outputs["loss"]`.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from jaxtyping import Float
from pytorch_lightning import Callback, LightningModule
from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.plugins.precision import DoublePrecision, HalfPrecision, MixedPrecision, Precision
from pytorch_lightning.profilers import PassThroughProfiler
from pytorch_lightning.strategies import Strategy
from pytorch_lightning.utilities.model_helpers import is_overridden
from torch import Tensor, nn
from torch.optim import Optimizer

from modules.configuration.errors import UserError

if TYPE_CHECKING:
    from modules.configuration.schema.settings import DataSettings

_STEP_HOOKS = (
    "backward",
    "optimizer_step",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
)
"""What Lightning calls between a loss and the next weights, on tasks and on callbacks."""


@dataclass(frozen=True)
class Optimisation:
    """How a task's weights are stepped.

    Attributes:
        build_optimizer: makes the optimiser for the given parameters.
        schedule: factor of the learning rate at a progress of 0..1 through the training.
        num_steps: optimiser steps of the whole training.
        block_steps: optimiser steps in one call of `training_step`.
        gradient_clip_norm: longest allowed gradient over all parameters (Euclidean norm); None = as it comes.
    """

    build_optimizer: Callable[[Iterable[nn.Parameter]], Optimizer]
    schedule: Callable[[float], float]
    num_steps: int
    block_steps: int = 1
    gradient_clip_norm: float | None = None


class Task(LightningModule):
    """Base of all tasks: what the loss of one batch is, what validation measures, what is served in the end.

    Args:
        model: the network whose weights are learned.

    Attributes:
        validation_metrics: what validation logs, and whether more or less of it is better. Plain means are
            logged with `sync_dist=True`: several processes may share the validation split.
        evaluator: the module whose `evaluate` measures trained weights on the test split, see
            modules/evaluation. By name: a change of it must not train anything again.
        output_kind: what is served: the probabilities of classes of which one is right, or values.
    """

    validation_metrics: ClassVar[dict[str, Literal["max", "min"]]] = {}
    evaluator: ClassVar[str]
    output_kind: ClassVar[Literal["classes", "values"]] = "values"

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self._optimisation: Optimisation | None = None

    def loss(self, batch: dict[str, Tensor]) -> Float[Tensor, ""]:
        """Mean loss of one batch of raw fields, as the shards hold them."""
        raise NotImplementedError

    def inputs(self, batch: dict[str, Tensor]) -> Float[Tensor, "batch ..."]:
        """What the model takes, from a batch of raw fields."""
        raise NotImplementedError

    def served(self) -> nn.Module:
        """What is exported and served: from inputs to `[batch, num_outputs]`. Shares the model's weights."""
        raise NotImplementedError

    def output_names(self, settings: "DataSettings") -> list[str]:
        """The name of each output that is served, such as the classes of the dataset."""
        raise NotImplementedError

    def optimise_with(self, optimisation: Optimisation) -> None:
        """Says how to step the weights; needed before `Trainer.fit`."""
        self._optimisation = optimisation
        self.automatic_optimization = optimisation.block_steps == 1

    @property
    def optimisation(self) -> Optimisation:
        if self._optimisation is None:
            raise RuntimeError("call optimise_with() before fitting")
        return self._optimisation

    def configure_optimizers(self) -> Optimizer:
        learned = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        optimizer = self.optimisation.build_optimizer(learned)
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        scaled = getattr(self.trainer.precision_plugin, "scaler", None) is not None
        fused = getattr(optimizer, "_step_supports_amp_scaling", False)
        if scaled and fused and self.optimisation.gradient_clip_norm is not None:
            raise UserError(
                "a fused optimizer unscales gradients too late for trainer.gradient_clip_norm under 16-mixed",
                "Set optimizer.fused=false or trainer.precision=bf16-mixed",
            )
        return optimizer

    def training_step(self, block: dict[str, Tensor], block_index: int) -> dict[str, Tensor]:
        """Takes one optimiser step for each batch of the block.

        Args:
            block: raw fields with leading axes `[steps, batch]`.
            block_index: number of the block in its epoch.

        Returns:
            `loss`: the detached losses of the steps; under automatic optimisation the one loss to be stepped.
        """
        optimizer = self.trainer.optimizers[0]
        first_step = self.global_step
        batches = _unstack(block)
        if self.automatic_optimization:
            self._set_learning_rate(optimizer, first_step)
            return {"loss": self.loss(next(batches))}

        step_with = self._step_directly if self._nobody_listens() else self._step_through_lightning
        losses = []
        for step, batch in enumerate(batches, first_step):
            self._set_learning_rate(optimizer, step)
            losses.append(step_with(batch, optimizer).detach())
        return {"loss": torch.stack(losses)}

    def _step_through_lightning(self, batch: dict[str, Tensor], optimizer: Optimizer) -> Float[Tensor, ""]:
        lightning_optimizer = self.optimizers()
        assert isinstance(lightning_optimizer, LightningOptimizer)
        loss = self.loss(batch)
        optimizer.zero_grad()
        self.manual_backward(loss)
        lightning_optimizer.step()
        return loss

    def _step_directly(self, batch: dict[str, Tensor], optimizer: Optimizer) -> Float[Tensor, ""]:
        """What `_step_through_lightning` comes to where nobody listens, in a tenth of a millisecond less."""
        progress = self.trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
        progress.increment_ready()
        loss = self.descend(batch, optimizer)
        progress.increment_completed()
        return loss

    def descend(self, batch: dict[str, Tensor], optimizer: Optimizer) -> Float[Tensor, ""]:
        """Takes one step down the gradient of a batch's loss, and returns the loss.

        A task that knows a shorter way than autograd's has it here; it is taken in blocks, and where nothing
        else acts on losses and gradients.
        """
        loss = self.loss(batch)
        optimizer.zero_grad()
        loss.backward()
        self.trainer.strategy.post_backward(loss)
        self.on_before_optimizer_step(optimizer)
        optimizer.step()
        return loss

    def _nobody_listens(self) -> bool:
        """Whether nothing but `Task` itself acts between a loss and the weights that it leads to."""
        trainer = self.trainer
        callbacks: list[Callback] = trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
        heard = any(is_overridden(hook, self, Task) for hook in _STEP_HOOKS) or any(
            is_overridden(hook, callback, Callback)
            for callback in callbacks
            for hook in _STEP_HOOKS
            if hasattr(Callback, hook)
        )
        return (
            not heard
            and type(trainer.strategy).backward is Strategy.backward
            and type(trainer.strategy).optimizer_step is Strategy.optimizer_step
            and type(trainer.precision_plugin) in (Precision, MixedPrecision, HalfPrecision, DoublePrecision)
            and getattr(trainer.precision_plugin, "scaler", None) is None
            and type(trainer.profiler) is PassThroughProfiler  # pyright: ignore[reportAttributeAccessIssue]
        )

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        # Trainer(gradient_clip_val=...) is forbidden under manual optimisation. Gradients are unscaled here.
        if self.optimisation.gradient_clip_norm is not None:
            plugin = self.trainer.precision_plugin
            plugin.clip_grad_by_norm(optimizer, self.optimisation.gradient_clip_norm)

    def learning_rate(self, step: int) -> float:
        """The rate of the first parameter group at a step, counted from 0."""
        return self.trainer.optimizers[0].param_groups[0]["initial_lr"] * self._factor(step)

    def _set_learning_rate(self, optimizer: Optimizer, step: int) -> None:
        factor = self._factor(step)
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor

    def _factor(self, step: int) -> float:
        return self.optimisation.schedule(step / self.optimisation.num_steps)


def _unstack(block: dict[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """The batches of a block, in their order, without a copy."""
    for fields in zip(*(stacked.unbind() for stacked in block.values()), strict=True):
        yield dict(zip(block, fields, strict=True))
