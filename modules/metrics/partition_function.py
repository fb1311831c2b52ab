"""The partition function Z of a restricted Boltzmann machine, exact if it is small and else estimated.

Exact: the sum over all states of the smaller group of units; the other group sums in closed form. Estimated:
annealed importance sampling (Neal 2001), as in Salakhutdinov & Murray (2008), *On the quantitative analysis
of deep belief networks*, section 4.1: chains go from a machine without connections, whose visible biases give
the data's means, to the machine itself, through inverse temperatures (the paper's beta) from 0 to 1.

Deviates: the temperatures are evenly spaced. The estimate of Z is unbiased, so that of log Z is too low on
average, and a log-likelihood made with it too high.
"""

import copy
import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from modules.bricks.boltzmann_layer import BoltzmannLayer
from modules.bricks.gibbs_sampling import sample_around, sample_bernoulli

EXACT_UP_TO = 20
"""Units of the smaller group whose states are all visited."""
_STATES_AT_ONCE = 2**12


@dataclass(frozen=True)
class LogPartition:
    """log Z in nats.

    Attributes:
        value: exact or estimated.
        standard_error: of the estimate, from the spread of its chains; 0 if it is exact.
    """

    value: float
    standard_error: float = 0.0


@torch.no_grad()
def log_partition(
    layer: BoltzmannLayer,
    data_mean: Float[Tensor, " visible"],
    num_chains: int = 100,
    num_temperatures: int = 1000,
    exact_up_to: int = EXACT_UP_TO,
) -> LogPartition:
    """log Z of a machine: exact if one of its groups has `exact_up_to` units or fewer, else estimated.

    Args:
        layer: the machine.
        data_mean: mean of each visible unit in the data; any is right, a near one gives a better estimate.
        num_chains: of the estimate.
        num_temperatures: of the estimate.
        exact_up_to: most units to enumerate; each more doubles the time.
    """
    hidden_size, visible_size = layer.weights.shape
    smaller = hidden_size if layer.is_gaussian else min(hidden_size, visible_size)
    if smaller <= exact_up_to:
        return LogPartition(exact_log_partition(layer))
    return annealed_log_partition(layer, data_mean, num_chains, num_temperatures)


@torch.no_grad()
def exact_log_partition(layer: BoltzmannLayer) -> float:
    """log Z in float64, by enumeration of the smaller group (of the hidden units beside Gaussian ones)."""
    layer = copy.deepcopy(layer).double()
    hidden_size, visible_size = layer.weights.shape
    over_visible = visible_size < hidden_size and not layer.is_gaussian
    size = visible_size if over_visible else hidden_size
    place = torch.arange(size, device=layer.weights.device)
    sums = []
    for numbers in torch.arange(2**size, device=place.device).split(_STATES_AT_ONCE):
        states = (numbers[:, None] >> place & 1).double()
        if over_visible:
            logs = -layer.free_energy(states)
        else:
            logs = states @ layer.hidden_bias + layer.log_visible_sum(
                layer.visible_bias, states @ layer.weights
            )
        sums.append(logs.logsumexp(0))
    return float(torch.stack(sums).logsumexp(0))


@torch.no_grad()
def annealed_log_partition(
    layer: BoltzmannLayer, data_mean: Float[Tensor, " visible"], num_chains: int, num_temperatures: int
) -> LogPartition:
    """An estimate of log Z by annealed importance sampling."""
    bias, base = layer.visible_bias, _base_bias(layer, data_mean)
    nothing = base.new_zeros(num_chains, len(base))
    visible = sample_around(layer, layer.mean_of(base, nothing))
    log_weights = torch.zeros(num_chains, dtype=torch.float64, device=base.device)
    for colder, warmer in pairwise(torch.linspace(0, 1, num_temperatures + 1).tolist()):
        logits = layer(visible)
        moved = functional.softplus(warmer * logits) - functional.softplus(colder * logits)
        own = layer.visible_energy(visible, bias) - layer.visible_energy(visible, base)
        log_weights += moved.sum(1) - (warmer - colder) * own
        hidden = sample_bernoulli((warmer * logits).sigmoid())
        mean = layer.mean_of(torch.lerp(base, bias, warmer), warmer * hidden @ layer.weights)
        visible = sample_around(layer, mean)
    log_base = len(layer.hidden_bias) * math.log(2) + layer.log_visible_sum(base, nothing[:1])
    weights = (log_weights - log_weights.max()).exp()
    log_mean = log_weights.max() + weights.mean().log()
    relative = weights.std() / weights.mean() / math.sqrt(num_chains)
    return LogPartition(float(log_base + log_mean), float(relative))


def _base_bias(layer: BoltzmannLayer, data_mean: Float[Tensor, " visible"]) -> Float[Tensor, " visible"]:
    """Visible biases that give the data's means without connections, away from never and always."""
    return data_mean if layer.is_gaussian else (0.99 * data_mean + 0.005).logit()
