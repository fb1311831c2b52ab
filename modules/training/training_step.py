"""One training step: how a task's weights are stepped, in the hands of Lightning's Trainer.

Lightning pays 200 to 600 microseconds for each call of `training_step`, as much as a small network's whole
step. So a call receives a *block*: `block_steps` batches stacked, `[steps, batch, ...]`, and takes one
optimiser step for each. `block_steps: 1` is Lightning's automatic optimisation; both give the same weights
bit for bit, because everything that acts on a batch (learning rate, augmentation, dropout, clipping) acts
batch by batch in either. (But for rounding, where a task has a `gradient_step` of its own.)

In a block all of Lightning still holds: precision plugin and autocast, `manual_backward` and
`optimizer.step` with their hooks, `global_step` as the number of optimiser steps. What comes once a block
instead of once a batch are the hooks `on_train_batch_start` and `on_train_batch_end`; the latter finds the
losses of all steps in `outputs["loss"]`.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule
from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.plugins.precision import DoublePrecision, HalfPrecision, MixedPrecision, Precision
from pytorch_lightning.profilers import PassThroughProfiler
from pytorch_lightning.strategies import Strategy
from pytorch_lightning.utilities.model_helpers import is_overridden
from torch import Tensor, distributed, nn
from torch.optim import Optimizer

from modules.configuration.errors import UserError
from modules.datamodules.blocks import Block
from modules.metrics.mean import Mean, add_up
from modules.tasks.optional_methods import OwnGradientStep, OwnParameterGroups, OwnState
from modules.tasks.task import Task
from modules.training.data_parallel import figures_of_all_workers, with_shared_count

GradientStep = Callable[[dict[str, Tensor], Optimizer], Mean]
"""Takes one step down the gradient of a batch's loss, and returns the loss."""
_STEP_HOOKS = ("on_before_backward", "on_after_backward", "on_before_optimizer_step")
"""What Lightning calls on callbacks between a loss and the next weights."""


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


class TrainingModule(LightningModule):
    """What Lightning trains: a task, and the way in which its weights are stepped.

    A checkpoint names the weights as the task does (`model.features.0.weight`).

    Args:
        task: the learning problem with its model.
        optimisation: how its weights are stepped.
    """

    def __init__(self, task: Task, optimisation: Optimisation) -> None:
        super().__init__()
        self.task = task
        self.optimisation = optimisation
        self.automatic_optimization = optimisation.block_steps == 1
        self._means: dict[str, Mean] = {}
        self._inverse: tuple[Any, Tensor] | None = None

    def configure_optimizers(self) -> Optimizer:
        learned = [parameter for parameter in self.task.model.parameters() if parameter.requires_grad]
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
        if isinstance(self.task, OwnParameterGroups):
            self.task.regroup(optimizer)
        return optimizer

    def training_step(self, block: Block, block_index: int) -> dict[str, Tensor]:
        """Takes one optimiser step for each batch of the block.

        Args:
            block: raw fields with leading axes `[steps, batch]`, or as a list of one tensor a step.
            block_index: number of the block in its epoch.

        Returns:
            `loss`: the detached losses of the steps; under automatic optimisation the one loss to be stepped.
            `count`: what each is the mean of, where that differs from batch to batch.
        """
        optimizer = self.trainer.optimizers[0]
        first_step = self.global_step
        batches = _unstack(block)
        if self.automatic_optimization:
            self._set_learning_rate(optimizer, first_step)
            loss = with_shared_count(self.task.loss(next(batches)))
            return {"loss": loss.quotient, **_counts([loss])}

        direct = self._nobody_listens()
        gradient_step = self._gradient_step()
        losses = []
        for step, batch in enumerate(batches, first_step):
            self._set_learning_rate(optimizer, step)
            if direct:
                loss = self._step_directly(gradient_step, batch, optimizer)
            else:
                loss = self._step_through_lightning(batch, optimizer)
            losses.append(loss)
        totals, counts = torch.stack([loss.total.detach() for loss in losses]), _counts(losses)
        return {"loss": totals / (counts["count"] if counts else losses[0].count), **counts}

    def _step_through_lightning(self, batch: dict[str, Tensor], optimizer: Optimizer) -> Mean:
        lightning_optimizer = self.optimizers()
        assert isinstance(lightning_optimizer, LightningOptimizer)
        loss = with_shared_count(self.task.loss(batch))
        optimizer.zero_grad()
        self.manual_backward(loss.quotient)
        lightning_optimizer.step()
        return loss

    def _step_directly(
        self, gradient_step: GradientStep, batch: dict[str, Tensor], optimizer: Optimizer
    ) -> Mean:
        """What `_step_through_lightning` comes to where nobody listens, in a tenth of a millisecond less."""
        progress = self.trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
        progress.increment_ready()
        loss = gradient_step(batch, optimizer)
        progress.increment_completed()
        return loss

    def _gradient_step(self) -> GradientStep:
        """The task's own step, where it has one and nothing comes between gradient and weights."""
        alone = not distributed.is_initialized() and self.optimisation.gradient_clip_norm is None
        if alone and isinstance(self.task, OwnGradientStep):
            return self.task.gradient_step
        return self._autograd_step

    def _autograd_step(self, batch: dict[str, Tensor], optimizer: Optimizer) -> Mean:
        loss = with_shared_count(self.task.loss(batch))
        optimizer.zero_grad()
        loss.total.backward(self._inverse_count(loss))
        self.trainer.strategy.post_backward(loss.total)
        self.on_before_optimizer_step(optimizer)
        optimizer.step()
        return loss

    def _inverse_count(self, loss: Mean) -> Tensor:
        """What the gradient of `loss.quotient` begins from, without the division's own operations."""
        if not isinstance(loss.count, int):
            return loss.count.to(loss.total.dtype).reciprocal()
        key = loss.count, loss.total.dtype, loss.total.device
        if self._inverse is None or self._inverse[0] != key:
            self._inverse = key, torch.ones_like(loss.total).detach() / loss.count
        return self._inverse[1]

    def _nobody_listens(self) -> bool:
        """Whether nothing but this module itself acts between a loss and the weights that it leads to."""
        trainer = self.trainer
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

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        # Trainer(gradient_clip_val=...) is forbidden under manual optimisation. Gradients are unscaled here.
        if self.optimisation.gradient_clip_norm is not None:
            plugin = self.trainer.precision_plugin
            plugin.clip_grad_by_norm(optimizer, self.optimisation.gradient_clip_norm)

    def on_validation_epoch_start(self) -> None:
        self._means = {}
        self.task.start_validation()

    def validation_step(self, batch: dict[str, Tensor], batch_index: int) -> None:
        add_up(self._means, self.task.validate(batch))

    def on_validation_epoch_end(self) -> None:
        figures = figures_of_all_workers(self._means, self.task.finish_validation())
        for logger in self.trainer.loggers:
            logger.log_metrics(figures, self.global_step)

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return self.task.state_dict(*args, **kwargs)

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        return self.task.load_state_dict(state_dict, strict, assign)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if isinstance(self.task, OwnState):
            checkpoint["state_dict"] |= self.task.state_of_all_workers()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if isinstance(self.task, OwnState):
            self.task.take_state(checkpoint["state_dict"])

    def learning_rate(self, step: int) -> float:
        """The rate of the first parameter group at a step, counted from 0."""
        return self.trainer.optimizers[0].param_groups[0]["initial_lr"] * self._factor(step)

    def _set_learning_rate(self, optimizer: Optimizer, step: int) -> None:
        factor = self._factor(step)
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor

    def _factor(self, step: int) -> float:
        return self.optimisation.schedule(step / self.optimisation.num_steps)


def _counts(losses: list[Mean]) -> dict[str, Tensor]:
    """The counts of losses by their name in what a block leads to; nothing where they are alike."""
    counts = [loss.count for loss in losses]
    if all(isinstance(count, int) for count in counts):
        return {}
    return {"count": torch.stack([torch.as_tensor(count, device=losses[0].total.device) for count in counts])}


def _unstack(block: Block) -> Iterator[dict[str, Tensor]]:
    """The batches of a block, in their order, without a copy."""
    for fields in zip(
        *(steps if isinstance(steps, list) else steps.unbind() for steps in block.values()), strict=True
    ):
        yield dict(zip(block, fields, strict=True))
