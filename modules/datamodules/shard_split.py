"""Read shards in any order, a sample at a time or thousands, without copying what isn't asked for.

The tar files are mapped into memory and never unpacked.
"""

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.ragged import (
    EndToEnd,
    RaggedRows,
    full_shape,
    is_sequence,
    length_of,
    longest,
    pad_each,
)
from modules.datamodules.shard_file import INDEX, Rows, Shard, without_opened


@dataclass(frozen=True)
class ShardSplit:
    """The samples of one split, numbered in the order in which they lie in the shards.

    Attributes:
        name: of the split.
        num_samples: how many there are.
        samples_per_record: how many lie side by side in one record; the last record may hold fewer.
        fields: what each sample holds, with `index`, its number in the source.
        shards: the files.
    """

    name: str
    num_samples: int
    samples_per_record: int
    fields: Mapping[str, FieldSettings]
    shards: tuple[Shard, ...]

    def read(self, numbers: np.ndarray, *, index: bool = True) -> dict[str, np.ndarray]:
        """The fields of the samples with these numbers, as new arrays whose leading axis counts the samples.

        A ragged field is padded with zeros to the longest of them; `<field>_length` says how long each is.

        Args:
            numbers: any numbers below `num_samples`, in any order.
            index: whether to give the field `index` as well.

        Raises:
            UserError: if a shard isn't what shards.json says.
        """
        block = self.read_block(numbers[None], index=index)
        return {
            name: next(field.batches()) if isinstance(field, EndToEnd) else field[0]
            for name, field in block.items()
        }

    def read_block(self, numbers: np.ndarray, *, index: bool = False) -> dict[str, np.ndarray | EndToEnd]:
        """The fields of several batches: stacked, [steps, batch, ...], and ragged ones end to end.

        Args:
            numbers: of the samples, [steps, batch].
            index: whether to give the field `index` as well.

        Raises:
            UserError: as `read`.
        """
        names = [name for name in self.fields if index or name != INDEX]
        sizes = {name: self.sizes(name)[numbers] for name in names if self.fields[name].symbols}
        padded = longest(self.fields, sizes)
        out: dict[str, np.ndarray | EndToEnd] = {}
        for name in names:
            field = self.fields[name]
            if not field.symbols:
                out[name] = self._gather(name, numbers.ravel()).reshape(
                    *numbers.shape, *full_shape(field, ())
                )
                continue
            axes = [
                padded[size].tolist() if isinstance(size, str) else [size] * len(numbers)
                for size in field.shape
            ]
            shapes = list(zip([numbers.shape[1]] * len(numbers), *axes, strict=True))
            if is_sequence(field):
                values = self._rows[name].gather(numbers, sizes[name][:, :, 0], padded[field.symbols[0]])
                out[name] = EndToEnd(values, shapes)
            else:
                out[name] = pad_each(self._samples(name, numbers.ravel()), field.dtype, shapes)
            out[length_of(name)] = sizes[name][:, :, 0] if len(field.symbols) == 1 else sizes[name]
        return out

    def read_windows(
        self, name: str, numbers: np.ndarray, offsets: np.ndarray, length: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Windows of the samples of a field whose first axis alone is ragged.

        Args:
            name: of the field.
            numbers: of the sample that each window lies in, [steps, batch].
            offsets: where in it each begins, [steps, batch].
            length: of the windows.

        Returns:
            The windows, [steps, batch, length, ...], padded with zeros, and how much of each is there.

        Raises:
            UserError: if a shard isn't what shards.json says.
        """
        lengths = np.minimum(self.sizes(name)[numbers, 0] - offsets, length)
        values = self._rows[name].gather(numbers, lengths, np.full(len(numbers), length), offsets)
        return values.reshape(*numbers.shape, *full_shape(self.fields[name], [length])), lengths

    def shards_of(self, numbers: np.ndarray) -> np.ndarray:
        """Which shard each sample lies in, by the shards' numbers."""
        return self._firsts.searchsorted(numbers, side="right") - 1

    def expect(self, coming: Callable[[], np.ndarray]) -> None:
        """Is told what will be read next; here all shards are there anyway.

        Args:
            coming: gives numbers of samples in the order in which their shards will be read.
        """

    @property
    def bytes_fetched(self) -> int:
        """From a mirror; see `modules.datamodules.mirror`."""
        return 0

    def sizes(self, name: str) -> np.ndarray:
        """The sizes of a ragged field's samples, int64 [samples, symbols of its shape].

        Raises:
            UserError: if a shard isn't what shards.json says.
        """
        return self._sizes[name]

    @functools.cached_property
    def _sizes(self) -> dict[str, np.ndarray]:
        ragged = [name for name, field in self.fields.items() if field.symbols]
        return {name: np.concatenate([shard.sizes(name) for shard in self.shards]) for name in ragged}

    @functools.cached_property
    def _rows(self) -> dict[str, RaggedRows]:
        names = [name for name, field in self.fields.items() if is_sequence(field)]
        return {name: RaggedRows([shard.values(name) for shard in self.shards]) for name in names}

    def _samples(self, name: str, numbers: np.ndarray) -> Iterator[np.ndarray]:
        owners = self.shards_of(numbers)
        for owner, number in zip(owners.tolist(), numbers - self._firsts[owners], strict=True):
            yield self.shards[owner].sample(name, number)

    def _gather(self, name: str, numbers: np.ndarray) -> np.ndarray:
        if len(self.shards) == 1:
            return self.shards[0].gather(name, numbers)
        owner = self.shards_of(numbers)
        if owner.min() < owner.max() and (rows := self._rows_of_all(name)) is not None:
            return rows.gather(numbers)
        field = self.fields[name]
        out = np.empty((len(numbers), *full_shape(field, ())), field.dtype)
        for chosen in range(int(owner.min()), int(owner.max()) + 1):
            if (mine := (owner == chosen).nonzero()[0]).size:
                out[mine] = self.shards[chosen].gather(name, numbers[mine] - self._firsts[chosen])
        return out

    def _rows_of_all(self, name: str) -> Rows | None:
        if name not in self._whole:
            parts = [part for shard in self.shards if (part := shard.rows(name)) is not None]
            self._whole[name] = Rows.of_all(parts) if parts else None
        return self._whole[name]

    @functools.cached_property
    def _whole(self) -> dict[str, Rows | None]:
        """Of each field that was asked for, all its rows."""
        return {}

    @functools.cached_property
    def _firsts(self) -> np.ndarray:
        """The number of each shard's first sample."""
        return np.cumsum([0] + [shard.num_samples for shard in self.shards[:-1]])

    def __getstate__(self) -> dict[str, object]:
        return without_opened(self)
