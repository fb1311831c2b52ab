"""A machine small enough to visit all its states."""

from typing import Any

import pytest
import torch
from torch import Tensor

from modules.bricks.boltzmann_layer import BoltzmannLayer


def machine(visible_size: int = 4, hidden_size: int = 3, **keywords: Any) -> BoltzmannLayer:
    torch.manual_seed(0)
    layer = BoltzmannLayer(visible_size, hidden_size, **keywords).double()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    return layer


def states(size: int) -> Tensor:
    return torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * size).reshape(-1, size)


def pairs(layer: BoltzmannLayer, visible: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """All hidden states with each visible one, and exp(-E) as the header writes E, unit by unit."""
    hidden = states(len(layer.hidden_bias))
    weights, b, c = layer.weights.detach(), layer.visible_bias.detach(), layer.hidden_bias.detach()
    energies = torch.zeros(len(visible), len(hidden), dtype=torch.float64)
    for row, v in enumerate(visible):
        for column, h in enumerate(hidden):
            energy = -sum(float(c[j] * h[j]) for j in range(len(c)))
            for i in range(len(b)):
                if layer.is_gaussian:
                    energy += float((v[i] - b[i]) ** 2) / (2 * layer.visible_std**2)
                else:
                    energy -= float(b[i] * v[i])
                energy -= sum(float(h[j] * weights[j, i] * v[i]) / layer.visible_std for j in range(len(c)))
            energies[row, column] = energy
    return hidden, energies, (-energies).exp()


def assert_agrees_with_all_pairs(layer: BoltzmannLayer, visible: torch.Tensor) -> None:
    """Energies and conditional distributions, against every pair of states."""
    hidden, energies, weights = pairs(layer, visible)
    everywhere = visible.repeat_interleave(len(hidden), 0), hidden.repeat(len(visible), 1)
    torch.testing.assert_close(layer.energy(*everywhere).reshape(energies.shape), energies)
    torch.testing.assert_close(layer.free_energy(visible), -weights.sum(1).log())
    torch.testing.assert_close(
        layer.hidden_probabilities(visible), weights @ hidden / weights.sum(1, keepdim=True)
    )
    torch.testing.assert_close(layer.visible_mean(hidden), weights.T @ visible / weights.sum(0)[:, None])


def test_bernoulli_machine_is_its_joint_distribution() -> None:
    layer = machine()
    visible = states(4)
    assert_agrees_with_all_pairs(layer, visible)
    inputs = torch.randn(5, 4, dtype=torch.float64)
    expected = (inputs @ visible.T - layer.visible_energy(visible, layer.visible_bias)).logsumexp(1)
    torch.testing.assert_close(layer.log_visible_sum(layer.visible_bias, inputs), expected)


def test_gaussian_machine_is_its_joint_density() -> None:
    layer = machine(visible_size=1, visible_units="gaussian", visible_std=0.4)
    visible = torch.linspace(-12, 12, 4001, dtype=torch.float64)[:, None]
    assert_agrees_with_all_pairs(layer, visible)
    inputs = torch.tensor([[0.0], [1.7]], dtype=torch.float64)
    exponents = inputs @ visible.T / 0.4 - layer.visible_energy(visible, layer.visible_bias)
    integrals = exponents.exp().sum(1) * (24 / 4000)
    torch.testing.assert_close(layer.log_visible_sum(layer.visible_bias, inputs), integrals.log())


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"visible_std": 0.0}, "not above 0"),
        ({"visible_std": 0.5}, "visible_units=bernoulli"),
        ({"hidden_size": 0}, "must be 1 or more"),
    ],
)
def test_an_impossible_machine_is_refused(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        machine(**keywords)
