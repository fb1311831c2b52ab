"""One tar file of samples, mapped into memory and checked before anything of it is given."""

import functools
import hashlib
import math
import mmap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.lib.stride_tricks import as_strided

from modules.configuration.errors import UserError
from modules.configuration.plans.made_of import how_to_shard_again
from modules.configuration.regular_file import open_regular
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.encodings import decode_image, npy_header, read_npy_header
from modules.datamodules.ragged import SIZES, FileValues, full_shape, num_values
from modules.datamodules.tar_records import Spans, walk

FORMAT = 2
"""Of shards.json: since 2 it says where each record lies in its tar file."""
READABLE_FORMATS = (1, 2)
INDEX = "index"
"""The field that every record has: the sample's number in the source's split."""


@dataclass(frozen=True)
class Shard:
    """A shard as shards.json describes it; it is opened at the first look at a sample.

    Attributes:
        path: the tar file.
        sha256: what its content must hash to.
        num_bytes: its size.
        num_samples: how many samples it holds.
        samples_per_record: how many lie in one record; the last record may hold fewer.
        fields: what each sample holds.
        spans: where the records lie; None where shards.json, of format 1, does not say it.
        hashed: whether its content is known to be right, since a mirror's cache has just looked.
    """

    path: Path
    sha256: str
    num_bytes: int
    num_samples: int
    samples_per_record: int
    fields: Mapping[str, FieldSettings]
    spans: Spans | None = None
    hashed: bool = False

    def open(self) -> None:
        """Maps and checks the file, which the first look at a sample would do.

        Raises:
            UserError: if the file is missing, damaged, or not what shards.json says.
        """
        assert self._columns

    def gather(self, name: str, numbers: np.ndarray) -> np.ndarray:
        """A field of one size of the samples with these numbers in this shard, copied out in one go.

        Raises:
            UserError: if the file is missing, damaged, or not what shards.json says.
        """
        column = self._columns[name]
        assert not isinstance(column, FileValues)
        return column.gather(numbers)

    def rows(self, name: str) -> "Rows | None":
        """Where the samples of a field of one size lie; None where they are encoded.

        Raises:
            UserError: as `gather`.
        """
        column = self._columns[name]
        return column if isinstance(column, Rows) else None

    def sample(self, name: str, number: int) -> np.ndarray:
        """A ragged field of one sample, in its own shape.

        Raises:
            UserError: as `gather`.
        """
        column = self._columns[name]
        assert not isinstance(column, Rows)
        return column.sample(number)

    def values(self, name: str) -> FileValues:
        """Where the samples of a ragged field that is not encoded lie.

        Raises:
            UserError: as `gather`.
        """
        column = self._columns[name]
        assert isinstance(column, FileValues)
        return column

    def sizes(self, name: str) -> np.ndarray:
        """The sizes of a ragged field's samples, int64 [samples, symbols].

        Raises:
            UserError: as `gather`.
        """
        return self.gather(f"{name}.{SIZES}", np.arange(self.num_samples))

    @functools.cached_property
    def _columns(self) -> dict[str, "Rows | _Images | FileValues"]:
        content = self._verified()
        num_records = -(-self.num_samples // self.samples_per_record)
        members = members_of(self.fields)
        spans = walk(content, members, self._refuse) if self.spans is None else self.spans
        columns: dict[str, Rows | _Images | FileValues] = {}
        for name, field in members.items():
            if len(spans.get(name, ())) != num_records:
                self._refuse(
                    f"has {len(spans.get(name, ()))} records of the field {name!r}, not {num_records}"
                )
            sizes = np.empty((self.num_samples, 0), np.int64)
            if field.symbols:
                of_records = columns[f"{name}.{SIZES}"]
                assert isinstance(of_records, Rows)
                sizes = of_records.gather(np.arange(self.num_samples))
            if field.encoding != "npy":
                columns[name] = _Images(self.path, content, field, spans[name], sizes)
            elif field.symbols:
                columns[name] = self._ragged(content, name, field, spans[name], sizes)
            else:
                columns[name] = self._rows(content, name, field, spans[name])
        return columns

    def _verified(self) -> mmap.mmap:
        try:
            with open_regular(self.path, links=True) as file:
                if (size := file.seek(0, 2)) != self.num_bytes:
                    self._refuse(f"has {size} bytes, not {self.num_bytes}: it is cut or was changed")
                content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            self._refuse(f"can't be read ({error.strerror})")
        if not self.hashed and (got := hashlib.sha256(content).hexdigest()) != self.sha256:
            self._refuse(f"is damaged: expected sha256 {self.sha256}, got {got}")
        return content

    def _rows(
        self, content: mmap.mmap, name: str, field: FieldSettings, spans: list[tuple[int, int]]
    ) -> "Rows":
        shape = full_shape(field, ())
        dtype = np.dtype(field.dtype)
        offsets = []
        left = self.num_samples
        for span in spans:
            expected = (min(left, self.samples_per_record), *shape)
            if self.samples_per_record == 1:
                expected = shape
            offsets.append(self._values_start(content, name, span, dtype, expected))
            left -= self.samples_per_record
        return Rows(
            content, dtype, shape, np.array(offsets, np.int64), self.samples_per_record, self.num_samples
        )

    def _ragged(
        self,
        content: mmap.mmap,
        name: str,
        field: FieldSettings,
        spans: list[tuple[int, int]],
        sizes: np.ndarray,
    ) -> FileValues:
        if (sizes < 0).any() or (sizes > len(content)).any():
            self._refuse(f"holds sizes of the field {name!r} that cannot be")
        dtype, counts = np.dtype(field.dtype), num_values(field, sizes)
        starts = np.empty(self.num_samples, np.int64)
        for record, span in enumerate(spans):
            mine = slice(record * self.samples_per_record, (record + 1) * self.samples_per_record)
            ends = np.cumsum(counts[mine])
            expected = (int(ends[-1]),)
            if self.samples_per_record == 1:
                expected = full_shape(field, sizes[record])
            first = self._values_start(content, name, span, dtype, expected)
            starts[mine] = first + dtype.itemsize * (ends - counts[mine])
        values = np.ndarray((len(content) // dtype.itemsize,), dtype, buffer=content)
        return FileValues(field, values, starts // dtype.itemsize, sizes)

    def _values_start(
        self,
        content: mmap.mmap,
        name: str,
        span: tuple[int, int],
        dtype: np.dtype,
        expected: tuple[int, ...],
    ) -> int:
        """Where the values of one record's array lie, which is of this type and shape."""
        start, size = span
        try:
            header, found_dtype, found = read_npy_header(npy_header(content, start, size))
        except (ValueError, EOFError) as error:
            self._refuse(f"holds a field {name!r} that is refused: {error}")
        if found_dtype != dtype or found != expected or size != header + dtype.itemsize * math.prod(expected):
            self._refuse(f"holds the field {name!r} as {found_dtype} {found}, not {dtype} {expected}")
        if (start + header) % dtype.itemsize:
            self._refuse(f"holds the field {name!r} at a place that is no multiple of its {dtype} values")
        return start + header

    def _refuse(self, problem: str) -> NoReturn:
        raise UserError(f"{self.path} {problem}", how_to_shard_again(self.path.parent.name))

    def __getstate__(self) -> dict[str, object]:
        return without_opened(self)


def members_of(fields: Mapping[str, FieldSettings]) -> dict[str, FieldSettings]:
    """What each record holds: the fields, and before each ragged one the sizes of its samples."""
    members: dict[str, FieldSettings] = {}
    for name, field in fields.items():
        if field.symbols:
            members[f"{name}.{SIZES}"] = FieldSettings("int64", [len(field.symbols)], ["symbol"], "size")
        members[name] = field
    return members


def without_opened(described: object) -> dict[str, object]:
    """What travels of a shard or split: a process that gets it opens and checks the files for itself."""
    return {key: value for key, value in vars(described).items() if not key.startswith("_")}


class Rows:
    """One field of all samples, seen as rows that start at any multiple of a small step of the mapped file.

    The records lie scattered between tar headers. Seen with a stride of that step, rows that overlap, all of
    them are one array, and any choice of samples is a single indexing of it.
    """

    def __init__(
        self,
        content: mmap.mmap,
        dtype: np.dtype,
        shape: tuple[int, ...],
        offsets: np.ndarray,
        samples_per_record: int,
        num_samples: int,
    ) -> None:
        record, row = np.divmod(np.arange(num_samples), samples_per_record)
        row_bytes = dtype.itemsize * math.prod(shape)
        self._parts: list[Rows] = []
        self._dtype = dtype
        self._shape = shape
        self._content = np.frombuffer(content, np.uint8)
        self._offsets = offsets[record] + row * row_bytes
        self._see(self._content, self._offsets, math.gcd(row_bytes, *offsets.tolist()))

    @classmethod
    def of_all(cls, parts: "Sequence[Rows]") -> "Rows":
        """The rows of several files, one file's after the other's, so that a choice of them is one copy.

        The memory from the first file to the last is seen as one array. What lies between the files is not
        ours, and no row reaches there.
        """
        whole = cls.__new__(cls)
        whole._parts = list(parts)  # the array below keeps only one of them mapped
        whole._dtype, whole._shape = parts[0]._dtype, parts[0]._shape
        firsts = np.array([part._content.ctypes.data for part in parts])
        lowest, last = int(firsts.argmin()), int(firsts.argmax())
        size = int(firsts[last] - firsts[lowest]) + len(parts[last]._content)
        memory = as_strided(parts[lowest]._content, (size,), writeable=False)
        offsets = [part._offsets + first - firsts[lowest] for part, first in zip(parts, firsts, strict=True)]
        whole._see(memory, np.concatenate(offsets), 1)
        return whole

    def _see(self, memory: np.ndarray, offsets: np.ndarray, step: int) -> None:
        row_bytes = self._dtype.itemsize * math.prod(self._shape)
        self._starts = offsets // step
        num_rows = (len(memory) - row_bytes) // step + 1
        self._rows = np.ndarray((num_rows,), f"V{row_bytes}", buffer=memory, strides=(step,))

    def gather(self, numbers: np.ndarray) -> np.ndarray:
        """The samples with these numbers, copied out in one go."""
        return self._rows[self._starts[numbers]].view(self._dtype).reshape(len(numbers), *self._shape)


class _Images:
    """One encoded image a record, decoded when it is asked for."""

    def __init__(
        self,
        path: Path,
        content: mmap.mmap,
        field: FieldSettings,
        spans: list[tuple[int, int]],
        sizes: np.ndarray,
    ) -> None:
        self._path = path
        self._content = content
        self._field = field
        self._spans = spans
        self._sizes = sizes

    def gather(self, numbers: np.ndarray) -> np.ndarray:
        out = np.empty((len(numbers), *full_shape(self._field, ())), np.uint8)
        for place, number in enumerate(numbers):
            out[place] = self.sample(number)
        return out

    def sample(self, number: int) -> np.ndarray:
        start, size = self._spans[number]
        shape = full_shape(self._field, self._sizes[number])
        try:
            return decode_image(self._content[start : start + size], shape, self._field.encoding)
        except ValueError as error:
            raise UserError(f"{self._path} holds an image that is refused: {error}") from error
