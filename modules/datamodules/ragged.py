"""Fields whose size differs from sample to sample: how a record holds them, and how a batch pads them.

A record holds the values of its samples end to end (`<field>.npy`, one axis) and beside them the sizes of
each (`<field>.sizes.npy`, int64 [samples, symbols], in the order of the shape's symbols). A sample that is
alone in its record keeps its own shape.
"""

import math
import mmap
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

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


def longest(fields: Mapping[str, FieldSettings], sizes: Mapping[str, np.ndarray]) -> dict[str, int]:
    """The largest size of each symbol over the samples of a batch, at least 1.

    Args:
        fields: of every sample.
        sizes: of each ragged field's samples, [samples, symbols].
    """
    found: dict[str, int] = {}
    for name, rows in sizes.items():
        for symbol, size in zip(fields[name].symbols, rows.max(axis=0, initial=1), strict=True):
            found[symbol] = max(found.get(symbol, 1), int(size))
    return found


class RaggedValues:
    """The values of a ragged field in one mapped file.

    Where the first axis alone differs, samples are seen as rows of the padded length that start anywhere and
    overlap: a batch is then a single indexing, and what lies beyond each sample is set to zero.

    Args:
        content: the mapped file.
        field: the ragged field.
        starts: where each sample's first value lies, in bytes.
        sizes: of each sample, [samples, symbols].
    """

    def __init__(
        self, content: mmap.mmap, field: FieldSettings, starts: np.ndarray, sizes: np.ndarray
    ) -> None:
        self._field = field
        self._dtype = np.dtype(field.dtype)
        self._sizes = sizes
        self._lengths = np.ascontiguousarray(sizes[:, 0])
        step = self._dtype.itemsize
        self._starts = starts // step
        self._values = np.ndarray((len(content) // step,), self._dtype, buffer=content)
        self._first_axis_alone = isinstance(field.shape[0], str) and len(field.symbols) == 1
        self._row = math.prod(size for size in field.shape if isinstance(size, int))

    def gather(
        self, numbers: np.ndarray, sizes: Sequence[int], offsets: np.ndarray | None = None
    ) -> np.ndarray:
        """The samples padded with zeros to these sizes of the symbols, [samples, *shape].

        Args:
            numbers: of the samples.
            sizes: of the symbols; what is beyond them is cut off where `offsets` are given.
            offsets: of the first step of each that is wanted; only where the first axis alone differs.
        """
        shape = full_shape(self._field, sizes)
        if not self._first_axis_alone:
            out = np.zeros((len(numbers), *shape), self._dtype)
            for place, number in enumerate(numbers):
                own = full_shape(self._field, self._sizes[number])
                start = self._starts[number]
                values = self._values[start : start + math.prod(own)]
                out[(place, *map(slice, own))] = values.reshape(own)
            return out
        starts, lengths = self._starts[numbers], self._lengths[numbers]
        if offsets is not None:
            starts, lengths = starts + offsets * self._row, np.minimum(lengths - offsets, sizes[0])
        out = self._rows_from(starts, sizes[0] * self._row)
        _clear_ends(out.reshape(-1, self._row), lengths, sizes[0])
        return out.reshape(len(numbers), *shape)

    def _rows_from(self, starts: np.ndarray, num_values: int) -> np.ndarray:
        """New rows of so many values from these places on; after the file's end come zeros."""
        step = self._dtype.itemsize
        num_rows = len(self._values) - num_values + 1
        if num_rows <= 0 or int(starts.max(initial=0)) >= num_rows:
            out = np.zeros((len(starts), num_values), self._dtype)
            for row, start in zip(out, starts, strict=True):
                values = self._values[start : start + num_values]
                row[: len(values)] = values
            return out
        windows = np.ndarray((num_rows,), f"V{num_values * step}", buffer=self._values.data, strides=(step,))
        return windows[starts].view(self._dtype).reshape(len(starts), num_values)


def _clear_ends(rows: np.ndarray, lengths: np.ndarray, length: int) -> None:
    """Sets to zero what lies beyond each sample, of rows [samples * length, ...]."""
    counts = length - lengths
    ends = counts.cumsum()
    if not ends[-1]:
        return
    firsts = np.arange(0, len(rows), length) + lengths - ends + counts
    rows[np.arange(ends[-1]) + firsts.repeat(counts)] = 0
