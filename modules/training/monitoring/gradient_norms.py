"""How much of the gradient arrives at each layer: where it vanishes, the layers below learn nothing.

Hochreiter (1991), *Untersuchungen zu dynamischen neuronalen Netzen*; Glorot & Bengio (2010), *Understanding
the difficulty of training deep feedforward neural networks*, section 4.2.
"""

from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.optim import Optimizer

from modules.training.monitoring.curves import Curves
from modules.training.sharding.whole_tensors import whole_of

CURVE = "train/gradient_norm/"


class GradientNorms(Callback):
    """Records the Euclidean norm of the gradient of each layer's weights, before it is clipped.

    Of a layer that does not learn there is no curve.

    Args:
        model: what is trained; a layer is what has a `weight` of two axes or more.
        curves: where the points go, as `train/gradient_norm/<layer>`, the lowest layer first.
        every_steps: steps that one point is the mean of.
    """

    def __init__(self, model: nn.Module, curves: Curves, every_steps: int) -> None:
        self.weights = {
            name.removesuffix(".weight"): weight
            for name, weight in model.named_parameters()
            if weight.ndim > 1 and weight.requires_grad
        }
        self.curves = curves
        self.every_steps = every_steps
        self._sum: Tensor | None = None
        self._counts = [0] * len(self.weights)

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        # Of several steps of a task, the gradients of all others are those of an earlier turn.
        stepped = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        learns = [id(weight) in stepped for weight in self.weights.values()]
        zero = torch.zeros((), device=pl_module.device)
        norms = torch.stack(
            [
                zero if weight.grad is None or not learned else whole_of(weight.grad.norm())
                for weight, learned in zip(self.weights.values(), learns, strict=True)
            ]
        )
        self._sum = norms if self._sum is None else self._sum + norms
        self._counts = [count + learned for count, learned in zip(self._counts, learns, strict=True)]
        step = trainer.global_step + 1  # the one that is about to be taken
        if step % self.every_steps == 0:
            for name, total, count in zip(self.weights, self._sum.tolist(), self._counts, strict=True):
                if count:
                    self.curves.add(CURVE + name, total / count, step)
            self._sum, self._counts = None, [0] * len(self.weights)

    def state_dict(self) -> dict[str, Any]:
        return {"sum": self._sum, "counts": self._counts}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._sum, self._counts = state_dict["sum"], state_dict["counts"]
