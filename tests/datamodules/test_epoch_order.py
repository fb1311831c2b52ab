"""The order is a permutation, the same from any place, and mixes records."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.datamodules import epoch_order
from modules.datamodules.epoch_order import EpochOrder, ShardWindows


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


@given(
    counts=st.lists(st.integers(1, 12), min_size=1, max_size=12),
    samples_per_record=st.integers(1, 5),
    window_shards=st.integers(1, 13),
    missing=st.integers(0, 4),
)
def test_windows_go_through_the_shards_one_after_the_other(
    counts: list[int], samples_per_record: int, window_shards: int, missing: int
) -> None:
    """Brute force: all samples of so many shards, then all of the next so many."""
    shards = np.repeat(np.arange(len(counts)), counts)
    num_samples = len(shards) * samples_per_record - min(missing, samples_per_record - 1)
    order = EpochOrder(num_samples, samples_per_record, 5, 2, ShardWindows(shards, window_shards))
    numbers = order.numbers(0, num_samples)
    assert sorted(numbers.tolist()) == list(range(num_samples))
    of_sample = np.repeat(shards, samples_per_record)[:num_samples]
    in_order = of_sample[numbers]
    shards_in_order = list(dict.fromkeys(in_order.tolist()))
    place = 0
    for start in range(0, len(counts), window_shards):
        window = shards_in_order[start : start + window_shards]
        size = int(np.isin(of_sample, window).sum())
        assert set(in_order[place : place + size].tolist()) == set(window)
        place += size


def test_one_window_over_all_is_the_order_without_windows() -> None:
    shards = np.repeat(np.arange(4), 5)
    plain = EpochOrder(60, 3, 1, 2).numbers(0, 60)
    for size in (4, 5, 100):
        assert (EpochOrder(60, 3, 1, 2, ShardWindows(shards, size)).numbers(0, 60) == plain).all()
    assert (EpochOrder(60, 3, 1, 2, ShardWindows(shards, 3)).numbers(0, 60) != plain).any()


def test_windows_stay_what_they_were() -> None:
    order = EpochOrder(10, 2, 0, 0, ShardWindows(np.array([0, 0, 1, 1, 2]), 1))
    assert order.numbers(0, 10).tolist() == [3, 1, 2, 0, 9, 8, 4, 5, 7, 6]


def test_windows_differ_from_epoch_to_epoch_and_seed_to_seed() -> None:
    def order(seed: int, epoch: int) -> tuple[int, ...]:
        windows = ShardWindows(np.repeat(np.arange(10), 3), 2)
        return tuple(EpochOrder(60, 2, seed, epoch, windows).numbers(0, 60).tolist())

    assert len({order(seed, epoch) for seed in range(3) for epoch in range(3)}) == 9
    assert order(1, 1) == order(1, 1)


def test_the_records_that_come_are_told_in_their_order() -> None:
    shards = np.repeat(np.arange(10), 3)
    order = EpochOrder(60, 2, 0, 0, ShardWindows(shards, 2))
    for place in range(0, 60, 7):
        coming = order.first_samples(place) // 2
        read = order.numbers(place, 60) // 2
        assert set(read.tolist()) <= set(coming.tolist())
        window = place // 12 * 12  # two shards of three records of two samples
        assert set(coming[:6].tolist()) == set((order.numbers(window, window + 12) // 2).tolist())
        assert len(coming) == 30 - window // 2
