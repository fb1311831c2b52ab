"""A file that lies in a tar file: read where it lies, without unpacking."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from modules.configuration.regular_file import open_regular


@dataclass(frozen=True)
class TarMember:
    """
    Attributes:
        archive: the tar file.
        name: of the member, with its folders.
        start: where its content begins in the archive, in bytes.
        num_bytes: of its content.
    """

    archive: Path
    name: str
    start: int
    num_bytes: int

    def __str__(self) -> str:
        return f"{self.archive}: {self.name}"

    def read(self) -> bytes:
        """Its content."""
        with open_regular(self.archive, links=True) as archive:
            archive.seek(self.start)
            return archive.read(self.num_bytes)


def open_file(file: Path | TarMember) -> BinaryIO:
    """A regular file, or a member of an archive, for reading."""
    return io.BytesIO(file.read()) if isinstance(file, TarMember) else open_regular(file, links=True)
