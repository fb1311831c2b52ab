"""Fields whose size differs from sample to sample: how a record holds them, and how a batch pads them.

A record holds the values of its samples end to end (`<field>.npy`, one axis) and beside them the sizes of
each (`<field>.sizes.npy`, int64 [samples, symbols], in the order of the shape's symbols). A sample that is
alone in its record keeps its own shape.
"""

import functools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from modules.configuration.schema.data_settings import FieldSettings

SIZES = "sizes"
"""What follows a field's name in the name of its sizes."""


def length_of(field: str) -> str:
    """The name under which a batch holds the lengths of a ragged field, int64 [batch]; of several symbols
    [batch, symbols]."""
    return f"{field}_length"


def begins_of(field: str) -> str:
    """The name under which a batch of a stream says where the state is reset, bool [batch]."""
    return f"{field}_begins"


def full_shape(field: FieldSettings, sizes: Iterable[int]) -> tuple[int, ...]:
    """The shape of a sample whose symbols have these sizes."""
    left = iter(sizes)
    return tuple(size if isinstance(size, int) else int(next(left)) for size in field.shape)


def num_values(field: FieldSettings, sizes: np.ndarray) -> np.ndarray:
    """How many values samples have, from their sizes [samples, symbols]."""
    fixed = math.prod(size for size in field.shape if isinstance(size, int))
    return fixed * sizes.prod(axis=1, dtype=np.int64)


def longest(fields: Mapping[str, FieldSettings], sizes: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The largest size of each symbol over the samples of each batch, at least 1, int64 [steps].

    Args:
        fields: of every sample.
        sizes: of each ragged field's samples, [steps, batch, symbols].
    """
    found: dict[str, np.ndarray] = {}
    for name, rows in sizes.items():
        for symbol, size in zip(fields[name].symbols, rows.max(axis=1, initial=1).T, strict=True):
            found[symbol] = np.maximum(found.get(symbol, 1), size)
    return found


def is_sequence(field: FieldSettings) -> bool:
    """Whether the first axis alone is ragged, so that a piece of a sample is one piece of memory as well."""
    return field.encoding == "npy" and len(field.symbols) == 1 and isinstance(field.shape[0], str)


class EndToEnd(NamedTuple):
    """Some batches of a ragged field as one piece of memory, which is how they travel between processes.

    Attributes:
        values: of all batches, an array or a tensor of one axis.
        shapes: of each batch, [batch, *shape] with the sizes that it is padded to.
    """

    values: Any
    shapes: Sequence[Sequence[int]]

    def batches(self) -> Iterator[Any]:
        """Each batch in its shape, without a copy."""
        start = 0
        for shape in self.shapes:
            stop = start + math.prod(shape)
            yield self.values[start:stop].reshape(shape)
            start = stop


def pad_each(samples: Iterable[np.ndarray], dtype: str, shapes: Sequence[Sequence[int]]) -> EndToEnd:
    """Batches of these shapes, whose samples come one by one, each padded with zeros."""
    padded = EndToEnd(np.zeros(sum(map(math.prod, shapes)), dtype), shapes)
    left = iter(samples)
    for batch in padded.batches():
        for row, sample in zip(batch, left, strict=False):  # the batch is asked first: no sample is lost
            row[tuple(map(slice, sample.shape))] = sample
    return padded


@dataclass(frozen=True)
class FileValues:
    """Where the samples of a ragged field lie in one mapped file.

    Attributes:
        field: the ragged field.
        values: the whole file, seen as values of the field's type; headers of the tar are among them.
        starts: where each sample's first value lies, int64 [samples].
        sizes: of each sample, int64 [samples, symbols].
    """

    field: FieldSettings
    values: np.ndarray
    starts: np.ndarray
    sizes: np.ndarray

    def sample(self, number: int) -> np.ndarray:
        """One sample in its own shape, not to be written to."""
        shape = full_shape(self.field, self.sizes[number])
        start = self.starts[number]
        return self.values[start : start + math.prod(shape)].reshape(shape)


class RaggedRows:
    """A field of which the first axis alone is ragged, over the mapped files of a split.

    The memory from the first file to the last is seen as one array, and the samples as rows of the padded
    length that start anywhere in it and overlap. A batch is then a single indexing, whatever files its
    samples lie in, and what lies beyond each sample is set to zero. What is between the files is not ours:
    no row may reach beyond the end of its own file.

    Args:
        files: that the samples lie in, in the order of their numbers.
    """

    def __init__(self, files: Sequence[FileValues]) -> None:
        self._files = files  # the array below keeps only one of them mapped
        field = files[0].field
        self._dtype = np.dtype(field.dtype)
        self._row = math.prod(size for size in field.shape if isinstance(size, int))
        firsts = np.array([file.values.ctypes.data for file in files]) // self._dtype.itemsize
        lowest = firsts.min()
        ends = firsts - lowest + [len(file.values) for file in files]
        self._ends = np.sort(ends)
        self._memory = as_strided(files[int(firsts.argmin())].values, (ends.max(),), writeable=False)
        self._starts = np.concatenate(
            [file.starts + first - lowest for file, first in zip(files, firsts, strict=True)]
        )
        self._windows = functools.lru_cache(1024)(self._rows_of)

    def gather(
        self, numbers: np.ndarray, lengths: np.ndarray, longest: np.ndarray, offsets: np.ndarray | int = 0
    ) -> np.ndarray:
        """Batches of samples, or of pieces of them, padded with zeros: their values end to end.

        Args:
            numbers: of the samples, [steps, batch].
            lengths: how much of the first axis is wanted of each, [steps, batch].
            longest: what each batch is padded to, [steps].
            offsets: where in its sample each piece begins, [steps, batch].
        """
        starts = self._starts[numbers] + offsets * self._row
        widths = longest * self._row
        ends = self._ends[self._ends.searchsorted(starts, side="right")]
        inside = np.all(starts + widths[:, None] <= ends, axis=1)
        out = np.empty(int(widths.sum()) * numbers.shape[1], self._dtype)
        stop = 0
        for step, width in enumerate(widths.tolist()):
            start, stop = stop, stop + width * numbers.shape[1]
            if inside[step]:
                out[start:stop] = self._windows(width)[starts[step]].view(self._dtype)
            else:
                rows = out[start:stop].reshape(-1, width)
                stops = starts[step] + lengths[step] * self._row
                for row, first, end in zip(rows, starts[step].tolist(), stops.tolist(), strict=True):
                    row[: end - first] = self._memory[first:end]
        _clear_ends(out.reshape(-1, self._row), lengths.ravel(), longest.repeat(numbers.shape[1]))
        return out

    def _rows_of(self, width: int) -> np.ndarray:
        """The rows of so many values that start at each value, as one item each."""
        step = self._dtype.itemsize
        num_rows = len(self._memory) - width + 1
        return np.ndarray((num_rows,), f"V{width * step}", buffer=self._memory, strides=(step,))


def _clear_ends(rows: np.ndarray, lengths: np.ndarray, padded: np.ndarray) -> None:
    """Sets to zero what lies beyond the length of each sample, of samples that take `padded` rows each."""
    counts = padded - lengths
    ends = counts.cumsum()
    rows[np.arange(counts.sum()) + (padded.cumsum() - ends).repeat(counts)] = 0
