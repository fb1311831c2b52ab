"""Gibbs sampling, against the joint distribution of a machine small enough to visit all its states."""

import math

import torch

from modules.bricks.gibbs_sampling import gibbs_step, sample_bernoulli, sample_visible
from tests.bricks.test_boltzmann_layer import machine, pairs, states


def test_steps_lead_to_the_joint_distribution() -> None:
    layer = machine()
    torch.manual_seed(0)
    visible, hidden = states(4), torch.zeros(100_000, 3, dtype=torch.float64)
    for _ in range(50):
        seen, hidden = gibbs_step(layer, hidden)
    _, _, weights = pairs(layer, visible)
    expected = weights / weights.sum()
    number_visible, number_hidden = (
        (group @ 2.0 ** torch.arange(group.shape[1]).flip(0).double()).long() for group in (seen, hidden)
    )
    found = (number_visible * 8 + number_hidden).bincount(minlength=128).reshape(16, 8) / len(hidden)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=0.01)


def test_samples_have_the_probabilities_that_they_are_sampled_with() -> None:
    torch.manual_seed(0)
    probabilities = torch.tensor([0.0, 0.1, 0.5, 0.9, 1.0]).repeat(40_000, 1)
    sampled = sample_bernoulli(probabilities)
    assert set(sampled.unique().tolist()) == {0.0, 1.0}
    assert sampled.mean(0)[[0, 4]].tolist() == [0.0, 1.0]
    torch.testing.assert_close(sampled.mean(0), probabilities[0], rtol=0, atol=5 * 0.5 / math.sqrt(40_000))


def test_gaussian_samples_scatter_by_their_standard_deviation() -> None:
    layer = machine(visible_units="gaussian", visible_std=0.4)
    hidden = states(3)[5:6].repeat(40_000, 1)
    sampled = sample_visible(layer, hidden)
    torch.testing.assert_close(sampled.mean(0), layer.visible_mean(hidden)[0], rtol=0, atol=0.01)
    torch.testing.assert_close(sampled.std(0), torch.full((4,), 0.4).double(), rtol=0, atol=0.01)
