"""The partition function against brute force, and its estimate against the exact value."""

import math

import pytest
import torch
from torch import Tensor

from modules.bricks.boltzmann_layer import BoltzmannLayer
from modules.metrics.partition_function import annealed_log_partition, exact_log_partition, log_partition
from modules.models.boltzmann.rbm import RBM
from modules.tasks.contrastive_divergence import ContrastiveDivergence
from tests.bricks.test_boltzmann_layer import machine, states
from tests.training.small import images


@pytest.mark.parametrize(("visible_size", "hidden_size"), [(5, 3), (3, 5), (1, 13)])
def test_exact_value_is_the_sum_over_all_pairs(visible_size: int, hidden_size: int) -> None:
    layer = machine(visible_size, hidden_size)
    visible, hidden = states(visible_size), states(hidden_size)
    energies = [layer.energy(v.repeat(len(hidden), 1), hidden) for v in visible]
    expected = float((-torch.stack(energies)).logsumexp((0, 1)).detach())
    assert exact_log_partition(layer) == pytest.approx(expected, abs=1e-9)
    assert log_partition(layer, torch.full((visible_size,), 0.5)).standard_error == 0


def test_exact_value_beside_gaussian_units_is_the_integral() -> None:
    layer = machine(2, 3, visible_units="gaussian", visible_std=0.7)
    axis = torch.linspace(-15, 15, 1001, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    integral = (-layer.free_energy(grid)).logsumexp(0) + 2 * math.log(30 / 1000)
    assert exact_log_partition(layer) == pytest.approx(float(integral.detach()), abs=1e-6)


@pytest.fixture(scope="module", params=["bernoulli", "gaussian"])
def trained(request: pytest.FixtureRequest) -> tuple[BoltzmannLayer, Tensor]:
    """A machine of 12 hidden units that has learned, and its data's means."""
    torch.manual_seed(0)
    batch = images(500)
    std = {"visible_std": 0.3} if request.param == "gaussian" else {}
    task = ContrastiveDivergence(RBM([1, 28, 28], 12, visible_units=request.param, **std))
    optimizer = torch.optim.SGD(task.parameters(), lr=0.05 if request.param == "bernoulli" else 0.002)
    visible = task.visible(batch)

    def loss() -> float:
        return float(task.layer.free_energy(visible).detach().mean()) + exact_log_partition(task.layer)

    before = loss()
    for _ in range(300):
        optimizer.zero_grad()
        task.loss(batch).quotient.backward()
        optimizer.step()
    assert loss() < before - 10, "it has learned nothing"
    return task.layer, visible.mean(0)


@pytest.mark.slow
def test_estimate_is_near_the_exact_value(trained: tuple[BoltzmannLayer, Tensor]) -> None:
    layer, mean = trained
    exact = exact_log_partition(layer)
    estimate = annealed_log_partition(layer, mean, num_chains=100, num_temperatures=2000)
    assert estimate.value == pytest.approx(exact, abs=0.1)
    assert 0 < estimate.standard_error < 0.1


def test_a_large_machine_is_estimated(trained: tuple[BoltzmannLayer, Tensor]) -> None:
    layer, mean = trained
    assert log_partition(layer, mean).standard_error == 0
    assert log_partition(layer, mean, num_chains=10, num_temperatures=50, exact_up_to=11).standard_error > 0


def test_estimate_of_a_machine_without_connections_is_exact() -> None:
    layer = BoltzmannLayer(30, 25)
    torch.nn.init.zeros_(layer.weights)
    torch.nn.init.normal_(layer.visible_bias)
    mean = layer.visible_bias.sigmoid()
    expected = float(25 * math.log(2) + torch.nn.functional.softplus(layer.visible_bias.detach()).sum())
    # The base is kept away from never and always, so a little is left for the temperatures.
    assert annealed_log_partition(layer, mean, 100, 100).value == pytest.approx(expected, abs=1e-2)
