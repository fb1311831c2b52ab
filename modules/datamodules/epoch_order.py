"""The order of an epoch's samples: a pure function of seed and epoch, known at any place at once.

The shuffle has two levels. Records are shuffled over the whole split; then the samples of each group of
records that follow each other are shuffled among themselves. So reading stays within a few records at a time,
and the samples of a record, a fair sample of the split already, still spread over thousands of others.

A split too large for the disk is gone through in windows of a few shards: the shards are shuffled, and then
the records of each window among themselves. A window of all shards is the order without windows.
"""

import numpy as np

GROUP_SAMPLES = 16384
"""About how many samples are shuffled among themselves."""


_SHARDS = 1_299_709
"""Keeps the order of shards and of a window's records apart from other permutations."""


class ShardWindows:
    """Windows of so many shards.

    Args:
        shards: the shard that each record lies in.
        window_shards: how many make a window; the last may have fewer.
    """

    def __init__(self, shards: np.ndarray, window_shards: int) -> None:
        self._window_shards = window_shards
        self._of_shard = np.split(
            np.argsort(shards, kind="stable"), np.cumsum(np.unique(shards, return_counts=True)[1])[:-1]
        )

    @property
    def hold_all(self) -> bool:
        """Whether all shards fit into one window."""
        return len(self._of_shard) <= self._window_shards

    def records(self, seed: tuple[int, int]) -> list[np.ndarray]:
        """The records of each window, shuffled.

        Args:
            seed: of the run, and the epoch.
        """
        order = np.random.default_rng((*seed, _SHARDS)).permutation(len(self._of_shard))
        starts = range(0, len(order), self._window_shards)
        return [
            np.random.default_rng((*seed, _SHARDS, number)).permutation(
                np.concatenate(
                    [self._of_shard[shard] for shard in order[start : start + self._window_shards]]
                )
            )
            for number, start in enumerate(starts)
        ]


class EpochOrder:
    """The shuffled sample numbers of one epoch.

    Args:
        num_samples: samples of the split.
        samples_per_record: samples of each record but the last, which may hold fewer.
        seed: of the run.
        epoch: counted from 0.
        windows: of shards; None = one over all of them.
    """

    def __init__(
        self,
        num_samples: int,
        samples_per_record: int,
        seed: int,
        epoch: int,
        windows: ShardWindows | None = None,
    ) -> None:
        self.num_samples = num_samples
        self.samples_per_record = samples_per_record
        self._seed = (seed, epoch)
        num_records = -(-num_samples // samples_per_record)
        if windows is None or windows.hold_all:
            parts = [np.random.default_rng(self._seed).permutation(num_records)]
        else:
            parts = windows.records(self._seed)
        self._records = np.concatenate(parts)
        group_records = -(-GROUP_SAMPLES // samples_per_record)
        ends = np.cumsum([len(part) for part in parts])
        self._group_starts = np.concatenate([
            np.arange(end - len(part), end, group_records) for part, end in zip(parts, ends, strict=True)
        ])  # fmt: skip
        last = num_samples - (num_records - 1) * samples_per_record
        sizes = np.where(self._records == num_records - 1, last, samples_per_record)
        self._group_ends = np.cumsum(np.add.reduceat(sizes, self._group_starts))
        self._cached: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))

    def first_samples(self, start: int) -> np.ndarray:
        """The number of the first sample of each record that is read from the place `start` on, in the order
        in which they are read."""
        group = np.searchsorted(self._group_ends, start, side="right")
        return self._records[self._group_starts[group] :] * self.samples_per_record

    def numbers(self, start: int, stop: int) -> np.ndarray:
        """The sample numbers at the places `start` up to `stop` of the epoch."""
        first, last = np.searchsorted(self._group_ends, [start, stop - 1], side="right")
        parts = []
        for group in range(int(first), int(last) + 1):
            begin = int(self._group_ends[group - 1]) if group else 0
            parts.append(self._group(group)[max(start - begin, 0) : stop - begin])
        return np.concatenate(parts)

    def _group(self, group: int) -> np.ndarray:
        if self._cached[0] != group:
            bounds = np.append(self._group_starts, len(self._records))
            records = self._records[bounds[group] : bounds[group + 1]]
            numbers = (
                records[:, None] * self.samples_per_record + np.arange(self.samples_per_record)
            ).ravel()
            numbers = numbers[numbers < self.num_samples]
            # The seed's third number keeps a group's permutation apart from the records'.
            self._cached = (group, np.random.default_rng((*self._seed, group + 1)).permutation(numbers))
        return self._cached[1]
