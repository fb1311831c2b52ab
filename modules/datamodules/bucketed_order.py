"""An order in which the samples of a batch are about equally long, so that little of it is padding.

The epoch's shuffled order is cut into pools of some dozens of batches; the samples of a pool are sorted by
their length and cut into batches, whose order is shuffled again. A pure function of seed and epoch, like
the order beneath it.
"""

import numpy as np

from modules.datamodules.epoch_order import EpochOrder

POOL_BATCHES = 64
_STREAM = 104_729
"""Keeps the order of batches apart from that of samples."""


class BucketedOrder:
    """The sample numbers of one epoch, batch by batch.

    Args:
        order: of the samples.
        lengths: of all samples of the split, by number.
        batch_size: samples of a batch, over all processes; the last places that fill no batch are left out.
        seed: of the run.
        epoch: counted from 0.
    """

    def __init__(
        self, order: EpochOrder, lengths: np.ndarray, batch_size: int, seed: int, epoch: int
    ) -> None:
        self._order = order
        # As narrow as they may be: NumPy sorts 16 bits or fewer by their digits, several times as fast.
        self._lengths = lengths.astype(np.min_scalar_type(lengths.max(initial=0)))
        self._batch_size = batch_size
        self._seed = (seed, epoch, _STREAM)
        self._pool_size = POOL_BATCHES * batch_size
        self._stop = order.num_samples // batch_size * batch_size
        self._cached: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))

    def numbers(self, start: int, stop: int) -> np.ndarray:
        """The sample numbers at the places `start` up to `stop` of the epoch."""
        pools = range(start // self._pool_size, (stop - 1) // self._pool_size + 1)
        parts = []
        for pool in pools:
            first = pool * self._pool_size
            parts.append(self._pool(pool)[max(start - first, 0) : stop - first])
        return np.concatenate(parts)

    def first_samples(self, start: int) -> np.ndarray:
        """As `EpochOrder.first_samples`."""
        return self._order.first_samples(start // self._pool_size * self._pool_size)

    def _pool(self, pool: int) -> np.ndarray:
        if self._cached[0] != pool:
            first = pool * self._pool_size
            numbers = self._order.numbers(first, min(first + self._pool_size, self._stop))
            by_length = numbers[np.argsort(self._lengths[numbers], kind="stable")]
            batches = by_length.reshape(-1, self._batch_size)
            self._cached = (pool, np.random.default_rng((*self._seed, pool)).permutation(batches).ravel())
        return self._cached[1]
