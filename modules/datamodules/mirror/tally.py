"""Bytes that were fetched, counted by all processes of a training together."""

import os
import struct
import tempfile
import weakref

_NUMBER = struct.Struct("<q")


class Tally:
    """A file without a name to which each process appends what it has fetched: what is appended is not torn.

    Args:
        descriptor: of the file, where another process has made it.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        if descriptor is None:
            with tempfile.NamedTemporaryFile() as file:
                descriptor = os.open(file.name, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
            weakref.finalize(self, os.close, descriptor)
        self.descriptor = descriptor

    def add(self, num_bytes: int) -> None:
        os.write(self.descriptor, _NUMBER.pack(num_bytes))

    def total(self) -> int:
        content = os.pread(self.descriptor, os.fstat(self.descriptor).st_size, 0)
        return sum(number for (number,) in _NUMBER.iter_unpack(content))
