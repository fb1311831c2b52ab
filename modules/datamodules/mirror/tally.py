"""Bytes that were fetched, counted by all processes of a training together."""

import os
import struct
import tempfile
import weakref
from pathlib import Path

from modules.configuration.regular_file import read_regular

_NUMBER = struct.Struct("<q")


class Tally:
    """A file to which each process appends what it has fetched: what is appended is not torn.

    Args:
        path: of the file, where another process has made it.
    """

    def __init__(self, path: Path | None = None) -> None:
        if path is None:
            descriptor, name = tempfile.mkstemp(prefix="fetched-")
            os.close(descriptor)
            path = Path(name)
            weakref.finalize(self, _remove, path, os.getpid())
        self.path = path

    def add(self, num_bytes: int) -> None:
        """Counts these as well; where the file is gone, nobody asks."""
        if self.path.exists():
            with self.path.open("ab", buffering=0) as file:
                file.write(_NUMBER.pack(num_bytes))

    def total(self) -> int:
        """All bytes so far."""
        content = read_regular(self.path) if self.path.exists() else b""
        return sum(number for (number,) in _NUMBER.iter_unpack(content))

    def __reduce__(self) -> tuple[type["Tally"], tuple[Path]]:
        return Tally, (self.path,)


def _remove(path: Path, owner: int) -> None:
    if os.getpid() == owner:
        path.unlink(missing_ok=True)
