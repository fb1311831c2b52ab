"""An exponential moving average of the weights, which stands in for them wherever they are judged.

Polyak & Juditsky 1992, *Acceleration of stochastic approximation by averaging*, average all iterates alike;
here the older ones are forgotten exponentially. With decay d, the n-th step (from 1) sets

    average <- average + (1 - min(d, n / (n + 9))) * (weights - average),

so that the average of a short training is not that of its random start. Numbers of a model that no gradient
changes, such as the running statistics of batch normalisation, are averaged likewise; whole numbers, and
those that are not finite, are taken as they are.
"""

from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

_HALF = (torch.float16, torch.bfloat16)


class AveragedWeights(Callback):
    """Averages a model's weights over the optimiser steps; validation sees the average.

    Args:
        model: what is trained.
        decay: how much of the average a step keeps.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = model
        self.decay = decay
        self._num_steps = 0
        self._average: dict[str, Tensor] = {}
        self._pairs: list[tuple[Tensor, Tensor]] = []
        self._training: dict[str, Tensor] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # All is on its device by now, and a checkpoint has been restored.
        own = self._numbers()
        if not self._average:
            # An average in half precision would not move.
            self._average = {
                name: value.to(torch.float32 if value.dtype in _HALF else value.dtype, copy=True)
                for name, value in own.items()
            }
        self._average = {name: value.to(own[name].device) for name, value in self._average.items()}
        self._pairs = [(value, own[name]) for name, value in self._average.items()]

    def update(self) -> None:
        """Takes in the weights after an optimiser step."""
        self._num_steps += 1
        share = 1 - min(self.decay, self._num_steps / (self._num_steps + 9))
        with torch.no_grad():
            for average, value in self._pairs:
                average.lerp_(value.to(average.dtype), share)

    def weights(self) -> dict[str, Tensor]:
        """The state dict of the model with the average in the place of its weights."""
        own = self.model.state_dict()
        return own | {name: value.to(own[name].dtype) for name, value in self._average.items()}

    def take_over(self) -> None:
        """Makes the average the model's weights."""
        self.model.load_state_dict(self.weights())

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._training = {name: value.clone() for name, value in self._numbers().items()}
        self.take_over()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.model.load_state_dict(self._training, strict=False)
        self._training = {}

    def state_dict(self) -> dict[str, Any]:
        return {"num_steps": self._num_steps, "average": self._average}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        own, average = self._numbers(), state_dict["average"]
        if own.keys() != average.keys() or any(own[name].shape != average[name].shape for name in own):
            raise ValueError("the average is not of this model's weights")
        if not all(value.isfinite().all() for value in average.values()):
            raise ValueError("the average holds NaN or infinity")
        self._num_steps, self._average = int(state_dict["num_steps"]), dict(average)

    def _numbers(self) -> dict[str, Tensor]:
        """The model's own tensors that can be averaged, by name."""
        own = self.model.state_dict()
        learned = {name for name, _ in self.model.named_parameters(remove_duplicate=False)}
        return {
            name: value
            for name, value in own.items()
            if value.is_floating_point() and (name in learned or bool(value.isfinite().all()))
        }
