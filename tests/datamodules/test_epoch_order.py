"""The order is a permutation, the same from any place, and mixes records."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.datamodules import epoch_order
from modules.datamodules.epoch_order import EpochOrder


@given(
    num_samples=st.integers(1, 500),
    samples_per_record=st.integers(1, 60),
    group_samples=st.integers(1, 200),
    cuts=st.lists(st.integers(0, 500), max_size=5),
)
def test_any_slices_make_the_same_permutation(
    num_samples: int, samples_per_record: int, group_samples: int, cuts: list[int]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(epoch_order, "GROUP_SAMPLES", group_samples)
        whole = EpochOrder(num_samples, samples_per_record, 5, 2).numbers(0, num_samples)
        assert sorted(whole.tolist()) == list(range(num_samples))
        places = sorted({0, num_samples, *(cut for cut in cuts if cut < num_samples)})
        order = EpochOrder(num_samples, samples_per_record, 5, 2)
        parts = [order.numbers(a, b) for a, b in reversed(list(itertools.pairwise(places)))]
        assert np.concatenate(parts[::-1]).tolist() == whole.tolist()


def test_it_depends_on_seed_and_epoch_alone() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return EpochOrder(1000, 10, seed, epoch).numbers(0, 1000).tolist()

    assert order(1, 2) == order(1, 2)
    assert len({tuple(order(seed, epoch)) for seed in range(3) for epoch in range(3)}) == 9


def test_a_batch_is_drawn_from_many_records() -> None:
    order = EpochOrder(60_000, 1000, 0, 0)
    records = order.numbers(0, 128) // 1000
    assert len(set(records.tolist())) == 17, "all records of the first group"
    assert len(set((order.numbers(0, 60_000) // 1000)[::17_000].tolist())) == 4, (
        "records are shuffled as well"
    )


def test_the_order_stays_what_it_was() -> None:
    """Runs that were made before must still be resumed exactly: a change here is a break."""
    assert EpochOrder(10, 3, 0, 0).numbers(0, 10).tolist() == [2, 7, 3, 0, 1, 5, 9, 4, 8, 6]
