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

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor
from torch.optim import Optimizer

from modules.configuration.errors import UserError
from modules.datamodules.blocks import Block
from modules.metrics.mean import Mean, add_up
from modules.tasks.optional_methods import OwnParameterGroups, OwnState
from modules.tasks.step import Step, check_steps, gradients_of, turns
from modules.tasks.task import Task
from modules.training.averaged_weights import AveragedWeights
from modules.training.data_parallel import DataParallelStrategy, figures_of_all_workers, with_shared_count
from modules.training.micro_batches import MicroBatches
from modules.training.random_rows import random_rows
from modules.training.runs.checkpoint_schema import check_model, check_states, settings_of
from modules.training.sharding.local_steps import step_locally
from modules.training.sharding.sharded_task import ShardedTask
from modules.training.short_way import ShortWay, needs_closure, take_step


@dataclass(frozen=True)
class Optimisation:
    """How a task's weights are stepped.

    Attributes:
        build_optimizer: makes the optimiser of a step, for what it learns.
        schedule: factor of the learning rate at a progress of 0..1 through the training.
        num_steps: optimiser steps of the whole training.
        block_steps: optimiser steps in one call of `training_step`.
        micro_batches: parts that a batch is computed in, whose gradients add up; auto finds them out.
        gradient_clip_norm: longest allowed gradient over all parameters (Euclidean norm); None = as it comes.
    """

    build_optimizer: Callable[[Step], Optimizer]
    schedule: Callable[[float], float]
    num_steps: int
    block_steps: int = 1
    gradient_clip_norm: float | None = None
    micro_batches: int | Literal["auto"] = 1


class TrainingModule(LightningModule):
    """What Lightning trains: a task, and the way in which its weights are stepped.

    A checkpoint names the weights as the task does (`model.features.0.weight`).

    Args:
        task: the learning problem with its model.
        optimisation: how its weights are stepped.
        average: takes in the weights after every step.
        sharded: the task, where each worker holds a shard of it.
    """

    def __init__(
        self,
        task: Task,
        optimisation: Optimisation,
        average: AveragedWeights | None = None,
        sharded: ShardedTask | None = None,
    ) -> None:
        super().__init__()
        self.task = task
        self.optimisation = optimisation
        self._is_sharded = sharded is not None
        self.steps = task.steps() if sharded is None else sharded.steps()
        check_steps(task.model, self.steps)
        self.turns = turns(self.steps)
        self.micro_batches = MicroBatches(
            optimisation.micro_batches, None if sharded is None else sharded.sum_up_parts
        )
        in_parts = self.micro_batches.in_use
        self.average = average
        plain = len(self.steps) == 1 and not in_parts and average is None
        self.automatic_optimization = optimisation.block_steps == 1 and plain
        if in_parts and isinstance(task, OwnState):
            raise UserError(
                f"trainer.micro_batches cuts batches, and {type(task).__name__} carries a state between them",
                "Set it to 1, and trainer.batch_size lower if memory is short",
            )
        self._way = ShortWay(self)
        self._means: dict[str, Mean] = {}
        self.configured: list[list[dict[str, Any]]] = []

    def configure_optimizers(self) -> list[Optimizer]:
        optimizers = [self._optimizer(step) for step in self.steps]
        if any(needs_closure(optimizer) for optimizer in optimizers):
            # Lightning's own closure would take a block's learning rate and loss from its last evaluation.
            self.automatic_optimization = False
        self.configured = settings_of(optimizers)
        return optimizers

    def _optimizer(self, step: Step) -> Optimizer:
        optimizer = self.optimisation.build_optimizer(step)
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
            if len(self.steps) > 1:
                group["step"] = step.name  # tells a checkpoint's optimisers apart
        scaled = getattr(self.trainer.precision_plugin, "scaler", None) is not None
        fused = getattr(optimizer, "_step_supports_amp_scaling", False)
        if scaled and fused and self.optimisation.gradient_clip_norm is not None:
            raise UserError(
                "a fused optimizer unscales gradients too late for trainer.gradient_clip_norm under 16-mixed",
                "Set optimizer.fused=false or trainer.precision=bf16-mixed",
            )
        if isinstance(self.task, OwnParameterGroups):
            self.task.regroup(optimizer)
        if self._is_sharded:
            step_locally(optimizer)
        return optimizer

    def training_step(self, block: Block, block_index: int) -> dict[str, Any]:
        """Takes one optimiser step for each batch of the block.

        Args:
            block: raw fields with leading axes `[steps, batch]`, or as a list of one tensor a step.
            block_index: number of the block in its epoch.

        Returns:
            `loss`: the detached losses of the steps; under automatic optimisation the one loss to be stepped.
            `count`: of how many values each is the mean.
        """
        batches = unstack(block)
        first_step = self.global_step
        if self.automatic_optimization:
            self._set_learning_rate(self.trainer.optimizers[0], first_step)
            batch = next(batches)
            with random_rows(batch):
                loss = with_shared_count(self.steps[0].loss(batch))
            return {"loss": loss.quotient, "count": [loss.count]}

        step_once = self._way.once if self._way.is_open() else self._step_through_lightning
        losses = []
        for number, batch in enumerate(batches, first_step):
            turn = self.turns[number % len(self.turns)]
            if isinstance(self.trainer.strategy, DataParallelStrategy):
                self.trainer.strategy.turn = turn
            self._set_learning_rate(self.trainer.optimizers[turn], number)
            with random_rows(batch):
                losses.append(step_once(turn, batch))
            if self.average is not None:
                self.average.update()
        return {"loss": _quotients(losses), "count": [loss.count for loss in losses]}

    def _step_through_lightning(self, turn: int, batch: dict[str, Tensor]) -> Mean:
        optimizers = self.optimizers()
        optimizer = optimizers[turn] if isinstance(optimizers, list) else optimizers
        assert isinstance(optimizer, LightningOptimizer)
        inputs = gradients_of(self.steps, self.steps[turn])
        restricted = {} if inputs is None else {"inputs": inputs}

        def backward(loss: Tensor) -> None:
            if inputs != []:  # else all that would learn is frozen
                self.manual_backward(loss, **restricted)

        def evaluate() -> Mean:
            if self.micro_batches.in_use:
                strategy, step = self.trainer.strategy, self.steps[turn]
                several = isinstance(strategy, DataParallelStrategy)
                with strategy.averaging_once() if several else nullcontext():
                    return self.micro_batches.backward(step, batch, backward, optimizer.zero_grad)
            optimizer.zero_grad()
            loss = with_shared_count(self.steps[turn].loss(batch))
            backward(loss.quotient)
            return loss

        return take_step(self.trainer.optimizers[turn], optimizer.step, evaluate)

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
        callbacks: Any = self.trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
        check_states(callbacks, len(self.steps), checkpoint)
        check_model(self.task.state_dict(), checkpoint["state_dict"])

    def learning_rate(self, step: int) -> float:
        """The rate of the first parameter group that is stepped at a step, counted from 0."""
        optimizer = self.trainer.optimizers[self.turns[step % len(self.turns)]]
        return optimizer.param_groups[0]["initial_lr"] * self._factor(step)

    @property
    def curve_names(self) -> list[str]:
        """The name under which the loss of each turn is recorded: `train`, or `train/<step>` of several."""
        if len(self.steps) == 1:
            return ["train"]
        return [f"train/{self.steps[turn].name}" for turn in self.turns]

    def _set_learning_rate(self, optimizer: Optimizer, step: int) -> None:
        factor = self._factor(step)
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor

    def _factor(self, step: int) -> float:
        return self.optimisation.schedule(step / self.optimisation.num_steps)


def _quotients(losses: list[Mean]) -> Tensor:
    """The detached quotient of each loss."""
    totals, counts = torch.stack([loss.total.detach() for loss in losses]), [loss.count for loss in losses]
    if all(type(count) is int and count == counts[0] for count in counts):
        return totals / counts[0]
    return totals / torch.stack([torch.as_tensor(count, device=totals.device) for count in counts])


def unstack(block: Block) -> Iterator[dict[str, Tensor]]:
    """The batches of a block, in their order, without a copy."""
    for fields in zip(
        *(steps if isinstance(steps, list) else steps.unbind() for steps in block.values()), strict=True
    ):
        yield dict(zip(block, fields, strict=True))
