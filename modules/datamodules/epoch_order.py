"""The order of an epoch's samples: a pure function of seed and epoch, known at any place at once.

The shuffle has two levels. Records are shuffled over the whole split; then the samples of each group of
records that follow each other are shuffled among themselves. So reading stays within a few records at a time,
and the samples of a record, a fair sample of the split already, still spread over thousands of others.
"""

import numpy as np

GROUP_SAMPLES = 16384
"""About how many samples are shuffled among themselves."""


class EpochOrder:
    """The shuffled sample numbers of one epoch.

    Args:
        num_samples: samples of the split.
        samples_per_record: samples of each record but the last, which may hold fewer.
        seed: of the run.
        epoch: counted from 0.
    """

    def __init__(self, num_samples: int, samples_per_record: int, seed: int, epoch: int) -> None:
        self.num_samples = num_samples
        self.samples_per_record = samples_per_record
        self._seed = (seed, epoch)
        num_records = -(-num_samples // samples_per_record)
        self._records = np.random.default_rng(self._seed).permutation(num_records)
        self._group_records = -(-GROUP_SAMPLES // samples_per_record)
        last = num_samples - (num_records - 1) * samples_per_record
        sizes = np.where(self._records == num_records - 1, last, samples_per_record)
        group_sizes = np.add.reduceat(sizes, np.arange(0, num_records, self._group_records))
        self._group_ends = np.cumsum(group_sizes)
        self._cached: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))

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
            records = self._records[group * self._group_records : (group + 1) * self._group_records]
            numbers = (
                records[:, None] * self.samples_per_record + np.arange(self.samples_per_record)
            ).ravel()
            numbers = numbers[numbers < self.num_samples]
            # The seed's third number keeps a group's permutation apart from the records'.
            self._cached = (group, np.random.default_rng((*self._seed, group + 1)).permutation(numbers))
        return self._cached[1]
