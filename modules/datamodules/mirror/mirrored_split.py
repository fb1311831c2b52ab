"""A split some of whose shards lie in a mirror: each is fetched before it is read, and only for as long.

A block of samples is read as from a split of just the shards that it lies in. Those of the last block stay
mapped, since the next one mostly lies in them too; they are held in the cache while they are read, and no
longer: a worker that waits must not keep another from making room.
"""

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from modules.datamodules.mirror.cache_folder import Lease
from modules.datamodules.mirror.shard_mirror import ShardMirror
from modules.datamodules.ragged import EndToEnd
from modules.datamodules.shard_file import Shard
from modules.datamodules.shard_split import ShardSplit


@dataclass
class _Opened:
    """What a process has open of a split.

    Attributes:
        pid: of the process.
        numbers: of the shards.
        part: the split of them alone.
        leases: of those that lie in the cache, by number.
    """

    pid: int
    numbers: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    part: ShardSplit | None = None
    leases: dict[int, Lease] = field(default_factory=dict)


@dataclass(frozen=True)
class MirroredSplit(ShardSplit):
    """
    Attributes:
        mirror: where the shards are had from that are not in the folder.
    """

    mirror: ShardMirror

    def read_block(self, numbers: np.ndarray, *, index: bool = False) -> dict[str, np.ndarray | EndToEnd]:
        """As `ShardSplit.read_block`."""
        with self._part(numbers) as (part, inside):
            return part.read_block(inside, index=index)

    def read_windows(
        self, name: str, numbers: np.ndarray, offsets: np.ndarray, length: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `ShardSplit.read_windows`."""
        with self._part(numbers) as (part, inside):
            return part.read_windows(name, inside, offsets, length)

    def sizes(self, name: str) -> np.ndarray:
        """As `ShardSplit.sizes`; the first time all shards are gone through."""
        if not self._all_sizes:
            ragged = [name for name, settings in self.fields.items() if settings.symbols]
            parts = []
            for first, shard in zip(self._firsts, self.shards, strict=True):
                with self._part(np.arange(first, first + shard.num_samples)) as (part, _):
                    parts.append({name: part.sizes(name) for name in ragged})
            self._all_sizes.update({name: np.concatenate([part[name] for part in parts]) for name in ragged})
        return self._all_sizes[name]

    def expect(self, coming: Callable[[], np.ndarray]) -> None:
        """As `ShardSplit.expect`: the shards that are needed next are fetched first and evicted last."""
        self._state["coming"] = coming

    @property
    def bytes_fetched(self) -> int:
        return self.mirror.bytes_fetched

    @contextmanager
    def _part(self, numbers: np.ndarray) -> Iterator[tuple[ShardSplit, np.ndarray]]:
        """The split of just the shards that some samples lie in, and their numbers there."""
        owners = self.shards_of(numbers)
        needed = np.unique(owners)
        opened = self._opened
        if opened.part is None or not np.array_equal(needed, opened.numbers):
            opened = self._open(needed)
        assert opened.part is not None
        with self.mirror.leases(list(opened.leases.values())):
            shift = opened.part._firsts - self._firsts[needed]
            yield opened.part, numbers + shift[np.searchsorted(needed, owners)]

    def _open(self, needed: np.ndarray) -> _Opened:
        before = self._opened
        kept = (
            {} if before.part is None else dict(zip(before.numbers.tolist(), before.part.shards, strict=True))
        )
        opened = _Opened(os.getpid(), needed)
        self._state["opened"] = opened  # from here on what is not needed any more is closed
        cache = self.mirror.folder()
        for number, lease in before.leases.items():
            if number in needed:
                opened.leases[number] = lease
        shards: dict[int, Shard] = {number: kept[number] for number in needed.tolist() if number in kept}
        kept.clear()
        before.part = None
        missing = [number for number in needed.tolist() if number not in shards]
        for number in list(missing):
            if self.shards[number].path.is_file():
                shards[number] = self.shards[number]
                missing.remove(number)
        for number in missing:
            if number not in opened.leases:
                opened.leases[number] = Lease(cache, self.shards[number].sha256)
        later = self._later(needed)
        while missing:
            number = missing[0]
            coming = [self.shards[one] for one in missing[1:]] + later
            with self.mirror.leases([opened.leases[number]]) as (there,):
                if there and self.mirror.has_right(self.shards[number]):
                    self.mirror.tell(self.shards[number], coming)
                else:
                    there = False
                if there:  # once it is mapped it can be read even where it has to make room for the next
                    shard = self.shards[number]
                    shards[number] = replace(shard, path=cache.tar(shard.sha256), hashed=True)
                    shards[number].open()
                    missing.remove(number)
            if not there:
                self.mirror.bring(self.shards[number], coming)
        in_order = tuple(shards[number] for number in needed.tolist())
        total = sum(shard.num_samples for shard in in_order)
        opened.part = ShardSplit(self.name, total, self.samples_per_record, self.fields, in_order)
        return opened

    def _later(self, needed: np.ndarray) -> list[Shard]:
        """Shards that will be read, in that order: as it was told, or else those that follow."""
        coming = self._state.get("coming")
        if coming is None:
            order = np.arange(needed.max() + 1, len(self.shards))
        else:
            owners, first = np.unique(self.shards_of(coming()), return_index=True)
            order = owners[np.argsort(first)]
        return [self.shards[number] for number in order.tolist() if not self.shards[number].path.is_file()]

    @property
    def _opened(self) -> _Opened:
        found: _Opened | None = self._state.get("opened")
        if found is None or found.pid != os.getpid():  # a forked process opens its own
            found = self._state["opened"] = _Opened(os.getpid())
        return found

    @functools.cached_property
    def _state(self) -> dict[str, Any]:
        """`opened`, and `coming` where the order is known."""
        return {}

    @functools.cached_property
    def _all_sizes(self) -> dict[str, np.ndarray]:
        return {}
