"""A restricted Boltzmann machine: visible and hidden units, with connections between the two kinds alone.

Smolensky (1986), *Foundations of harmony theory*; written as in Hinton (2010), *A practical guide to training
restricted Boltzmann machines* (below: "guide"). A pair of states has the energy

    Bernoulli visible units    E(v, h) = - b.v - c.h - h W v
    Gaussian visible units     E(v, h) = |v - b|^2 / (2 s^2) - c.h - h W v / s     (guide, equation 17)

and the probability exp(-E) / Z. In the papers W is `weights`, b (a) `visible_bias`, c (b) `hidden_bias` and
s (sigma) `visible_std`. The hidden units are always Bernoulli. Samples: `modules.bricks.gibbs_sampling`.

Deviates: the standard deviation of Gaussian units is one given number and is not learned, since learning it
makes such machines diverge (guide, section 13.2). Weights start as Glorot's (guide, section 8: 0.01 wide), so
that the same layers can also start as those of a perceptron.
"""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


class BoltzmannLayer(nn.Module):
    """Two groups of units that know each other's states, and not their own.

    Args:
        visible_size: number of visible units.
        hidden_size: number of hidden units.
        visible_units: `bernoulli` for values in 0..1, `gaussian` for any.
        visible_std: standard deviation of a Gaussian visible unit, given the hidden ones.

    Raises:
        ValueError: if a size is below 1, or `visible_std` not above 0 or not of Gaussian units.
    """

    def __init__(
        self,
        visible_size: int,
        hidden_size: int,
        visible_units: Literal["bernoulli", "gaussian"] = "bernoulli",
        visible_std: float = 1.0,
    ) -> None:
        super().__init__()
        if min(visible_size, hidden_size) < 1:
            raise ValueError(f"{visible_size} visible and {hidden_size} hidden units: each must be 1 or more")
        if visible_std <= 0:
            raise ValueError(f"visible_std={visible_std} is not above 0")
        if visible_units == "bernoulli" and visible_std != 1.0:
            raise ValueError(f"visible_std={visible_std} is of Gaussian units, but visible_units=bernoulli")
        self.is_gaussian = {"bernoulli": False, "gaussian": True}[visible_units]
        self.visible_std = visible_std
        self.weights = nn.Parameter(torch.empty(hidden_size, visible_size))
        self.visible_bias = nn.Parameter(torch.zeros(visible_size))
        self.hidden_bias = nn.Parameter(torch.zeros(hidden_size))
        nn.init.xavier_uniform_(self.weights)

    def extra_repr(self) -> str:
        hidden_size, visible_size = self.weights.shape
        kind = f"gaussian, std={self.visible_std}" if self.is_gaussian else "bernoulli"
        return f"{visible_size} visible ({kind}), {hidden_size} hidden"

    def forward(self, visible: Float[Tensor, "batch visible"]) -> Float[Tensor, "batch hidden"]:
        """Logits of the hidden units, given the visible ones."""
        scaled = visible if self.visible_std == 1.0 else visible / self.visible_std
        return functional.linear(scaled, self.weights, self.hidden_bias)

    def hidden_probabilities(self, visible: Float[Tensor, "batch visible"]) -> Float[Tensor, "batch hidden"]:
        """p(h = 1 | v)."""
        return self(visible).sigmoid()

    def visible_mean(self, hidden: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch visible"]:
        """Mean of v given h: of Bernoulli units their probabilities."""
        mean = torch.addmm(self.visible_bias, hidden, self.weights, alpha=self.visible_std)
        return mean if self.is_gaussian else mean.sigmoid()

    def mean_of(
        self, bias: Float[Tensor, " visible"], from_hidden: Float[Tensor, "batch visible"]
    ) -> Float[Tensor, "batch visible"]:
        """Mean of visible units of this `bias` that get `from_hidden` from the hidden ones."""
        if self.is_gaussian:
            return torch.add(bias, from_hidden, alpha=self.visible_std)
        return (from_hidden + bias).sigmoid()

    def visible_energy(
        self, visible: Float[Tensor, "batch visible"], bias: Float[Tensor, " visible"]
    ) -> Float[Tensor, " batch"]:
        """The part of the energy that visible units of this `bias` have by themselves."""
        if self.is_gaussian:
            return (visible - bias).square().sum(1) / (2 * self.visible_std**2)
        return -(visible @ bias)

    def log_visible_sum(
        self, bias: Float[Tensor, " visible"], from_hidden: Float[Tensor, "batch visible"]
    ) -> Float[Tensor, " batch"]:
        """log of the sum (integral) over all v of what units of this `bias` and `from_hidden` contribute."""
        if self.is_gaussian:
            constant = len(bias) / 2 * math.log(2 * math.pi * self.visible_std**2)
            return constant + from_hidden @ bias / self.visible_std + from_hidden.square().sum(1) / 2
        return functional.softplus(bias + from_hidden).sum(1)

    def energy(
        self, visible: Float[Tensor, "batch visible"], hidden: Float[Tensor, "batch hidden"]
    ) -> Float[Tensor, " batch"]:
        """E(v, h)."""
        return self.visible_energy(visible, self.visible_bias) - (hidden * self(visible)).sum(1)

    def free_energy(self, visible: Float[Tensor, "batch visible"]) -> Float[Tensor, " batch"]:
        """F(v) = -log of exp(-E(v, h)) summed over all h (guide, section 16.1), in nats."""
        own = self.visible_energy(visible, self.visible_bias)
        return own - functional.softplus(self(visible)).sum(1)
