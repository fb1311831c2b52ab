"""Means that add up, whatever the sizes of the parts."""

import pytest
import torch

from modules.metrics.mean import Mean, add_up


def test_ragged_parts_add_up_to_the_mean_of_all() -> None:
    values = torch.rand(1000)
    sums: dict[str, Mean] = {}
    for part in values.split([1, 499, 7, 493]):
        add_up(sums, {"all": Mean.of(part), "above": Mean.of(part > 0.5)})
    assert sums["all"].value == pytest.approx(values.double().mean().item(), rel=1e-6)
    assert sums["above"].value == (values > 0.5).double().mean()
    assert sums["all"].count == 1000


def test_many_parts_of_half_precision_keep_their_sum() -> None:
    sums: dict[str, Mean] = {}
    for _ in range(1000):
        add_up(sums, {"loss": Mean.of(torch.full((8,), 0.25, dtype=torch.bfloat16))})
    assert sums["loss"].value == 0.25


def test_nothing_of_the_graph_is_kept() -> None:
    assert not Mean.of(torch.ones(3, requires_grad=True) * 2).total.requires_grad
