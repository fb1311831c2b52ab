"""Energy distance by hand, and of one distribution."""

import pytest
import torch

from modules.metrics.energy_distance import energy_distance


def test_by_hand() -> None:
    one, other = torch.tensor([[0.0], [1.0]]), torch.tensor([[3.0], [5.0]])
    # Between: 3, 5, 2, 4; within 1 and 2.
    assert float(energy_distance(one, other)) == pytest.approx(2 * 3.5 - 1 - 2)


def test_of_one_distribution_it_is_nothing_in_the_mean() -> None:
    generator = torch.Generator().manual_seed(0)
    found = [
        float(energy_distance(*torch.randn(2, 20, 3, generator=generator).unbind(0))) for _ in range(300)
    ]
    assert abs(sum(found) / 300) < 0.02
    shifted = torch.randn(2, 20, 3, generator=generator) + torch.tensor([0.0, 2.0])[:, None, None]
    assert float(energy_distance(*shifted.unbind(0))) > 1
