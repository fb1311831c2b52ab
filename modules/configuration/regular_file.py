"""Opens a file that may come from anyone: a regular file, or nothing is opened at all.

To open a FIFO waits for whoever writes to it, perhaps for ever; to read a device may never end, and a link
may lead to any file of this machine. What stands in a file's place is looked at first.
"""

import os
import stat
from io import BufferedReader
from pathlib import Path

from modules.configuration.errors import UserError

_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a link",
}


def check_regular(path: Path, links: bool = False) -> os.stat_result:
    """Refuses whatever is no regular file, before it is opened.

    Args:
        path: the file.
        links: whether a link to a regular file will do, as for a file that the user names, or one that DVC
            links to its cache.

    Returns:
        The file's status.

    Raises:
        FileNotFoundError: there is nothing, or a link to nothing.
        UserError: it is something else than a file.
    """
    status = path.stat() if links else path.lstat()
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "no file")
        raise UserError(f"{path} is {kind}, not a regular file", "Put the file itself there")
    return status


def open_regular(path: Path, links: bool = False) -> BufferedReader:
    """Opens a regular file for reading, and nothing else; see `check_regular`.

    Raises:
        OSError: it is not there or may not be read.
        UserError: it is something else than a file.
    """
    check_regular(path, links)
    # It may have been replaced since: this open waits for nobody, and what came is looked at again.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | (0 if links else os.O_NOFOLLOW)
    descriptor = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UserError(f"{path} is not a regular file", "Put the file itself there")
    return os.fdopen(descriptor, "rb")


def read_regular(path: Path, max_bytes: int | None = None, links: bool = False) -> bytes:
    """The content of a regular file.

    Args:
        path: the file.
        max_bytes: the most that it may hold; null sets no bound.
        links: see `check_regular`.

    Raises:
        OSError: it is not there or may not be read.
        UserError: it is something else than a file, or larger.
    """
    with open_regular(path, links) as file:
        if max_bytes is None:
            return file.read()
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise UserError(f"{path} is larger than {max_bytes} bytes", "A file of this kind is a few kilobytes")
    return content


def read_regular_text(path: Path, max_bytes: int | None = None, links: bool = False) -> str:
    """The UTF-8 text of a regular file; see `read_regular`.

    Raises:
        OSError: it is not there or may not be read.
        UnicodeDecodeError: it is no UTF-8.
        UserError: it is something else than a file, or larger.
    """
    return read_regular(path, max_bytes, links).decode()
