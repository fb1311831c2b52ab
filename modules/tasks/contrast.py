"""The gradient of contrastive divergence as the papers write it, <v h>_data - <v h>_model, without autograd.

Half of a step's time otherwise goes into passes over as many gradients as there are weights.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim import SGD, Optimizer

from modules.bricks.boltzmann_layer import BoltzmannLayer


@dataclass(frozen=True)
class Contrast:
    """Data and fantasies, one below the other.

    Attributes:
        loss: mean energy of the data less that of the fantasies.
        visible: their visible states.
        hidden: the probabilities of their hidden units, times the shares.
        share: each row's in the loss; they add up to 1 for the data and to -1 for the fantasies.
        num_data: how many rows are data.
    """

    loss: Float[Tensor, ""]
    visible: Float[Tensor, "rows visible"]
    hidden: Float[Tensor, "rows hidden"]
    share: Float[Tensor, " rows"]
    num_data: int


@torch.no_grad()
def step_down(layer: BoltzmannLayer, contrast: Contrast, optimizer: Optimizer) -> None:
    """Takes one step; of plain gradient descent the product itself adds the statistics to the weights.

    Args:
        layer: whose parameters are all that the optimiser has.
        contrast: of the layer's data and fantasies.
        optimizer: with the weight decay of each group.
    """
    visible, hidden, std = contrast.visible, contrast.hidden, layer.visible_std
    biases = {layer.visible_bias: visible.T @ contrast.share / std**2, layer.hidden_bias: hidden.sum(0)}
    if not _is_plain_descent(optimizer):
        for bias, statistic in biases.items():
            bias.grad = -statistic.to(bias)  # under autocast products are of half precision
        layer.weights.grad = (hidden.T @ (visible / -std)).to(layer.weights)
        optimizer.step()
        return
    for group in optimizer.param_groups:
        rate, kept = group["lr"], 1 - group["lr"] * group["weight_decay"]
        for parameter in group["params"]:
            if parameter is layer.weights:
                parameter.addmm_(hidden.T, visible, beta=kept, alpha=rate / std)
            else:
                parameter.mul_(kept).add_(biases[parameter], alpha=rate)


def _is_plain_descent(optimizer: Optimizer) -> bool:
    """Whether a step is the gradient and the weight decay times the learning rate, and no more."""
    return type(optimizer) is SGD and not any(
        group["momentum"] or group["maximize"] for group in optimizer.param_groups
    )
