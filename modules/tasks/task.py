"""A learning problem as a LightningModule: the one base of every task, and the loop over a block of batches.

Lightning pays 200 to 600 microseconds for each call of `training_step`, as much as a small network's whole
step. So a call receives a *block*: `block_steps` batches stacked, `[steps, batch, ...]`, and takes one
optimiser step for each. `block_steps: 1` is Lightning's automatic optimisation; both give the same weights
bit for bit, because everything that acts on a batch (learning rate, augmentation, dropout, clipping) acts
batch by batch in either.

In a block all of Lightning still holds: precision plugin and autocast, `manual_backward` and
`optimizer.step` with their hooks, `global_step` as the number of optimiser steps, `self.log`. What comes
once a block instead of once a batch are the hooks `on_train_batch_start` and `on_train_batch_end`; the
latter finds the losses of all steps in `outputs["loss"]`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from pytorch_lightning import LightningModule
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim import Optimizer


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
    """Base of all tasks: a subclass says what the loss of one batch is, and what to measure in validation.

    Args:
        model: the network whose weights are learned.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self._optimisation: Optimisation | None = None

    def loss(self, batch: dict[str, Tensor]) -> Float[Tensor, ""]:
        """Mean loss of one batch of raw fields, as the shards hold them."""
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
        optimizer = self.optimisation.build_optimizer(self.model.parameters())
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        return optimizer

    def training_step(self, block: dict[str, Tensor], block_index: int) -> dict[str, Tensor]:
        """Takes one optimiser step for each batch of the block.

        Args:
            block: raw fields with leading axes `[steps, batch]`.
            block_index: number of the block in its epoch.

        Returns:
            `loss`: the detached losses of the steps; under automatic optimisation the one loss to be stepped.
        """
        if self.automatic_optimization:
            self._set_learning_rate(self.global_step)
            return {"loss": self.loss({name: values[0] for name, values in block.items()})}

        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer)
        first_step = self.global_step
        losses = []
        for position in range(len(next(iter(block.values())))):
            self._set_learning_rate(first_step + position)
            loss = self.loss({name: values[position] for name, values in block.items()})
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
            losses.append(loss.detach())
        return {"loss": torch.stack(losses)}

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        # Trainer(gradient_clip_val=...) is forbidden under manual optimisation. Gradients are unscaled here.
        if self.optimisation.gradient_clip_norm is not None:
            self.trainer.precision_plugin.clip_gradients(optimizer, self.optimisation.gradient_clip_norm)

    def learning_rate(self, step: int) -> float:
        """The rate of the first parameter group at a step, counted from 0."""
        return self.trainer.optimizers[0].param_groups[0]["initial_lr"] * self._factor(step)

    def _set_learning_rate(self, step: int) -> None:
        factor = self._factor(step)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = group["initial_lr"] * factor

    def _factor(self, step: int) -> float:
        return self.optimisation.schedule(step / self.optimisation.num_steps)
