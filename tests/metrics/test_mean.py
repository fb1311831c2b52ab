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


def test_what_is_not_kept_counts_nowhere_whatever_it_is() -> None:
    values = torch.tensor([[1.0, 2.0, float("nan")], [6.0, float("inf"), -4.0]], requires_grad=True)
    mean = Mean.of(values, keep=torch.tensor([[True, True, False], [True, False, False]]))
    assert (mean.value, int(mean.count)) == (3.0, 3)
    mean.quotient.backward()
    third = 1 / 3
    expected = torch.tensor([[third, third, 0.0], [third, 0.0, 0.0]])
    assert torch.equal(values.grad, expected)  # type: ignore[arg-type]
    added = mean + Mean.of(torch.tensor([9.0]), keep=torch.tensor([True]))
    assert added.value == 4.5


def test_float16_does_not_run_over() -> None:
    values = torch.full((300,), 300.0, dtype=torch.float16, requires_grad=True)
    mean = Mean.of(values)
    assert mean.value == 300.0
    mean.quotient.backward()
    torch.testing.assert_close(values.grad, torch.full((300,), 1 / 300, dtype=torch.float16))
