"""A folder that is replaced as a whole: whoever looks sees the old content or the new, never a mixture."""

import ctypes
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modules.configuration.refused_access import access_errors


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """Give an empty folder to fill; when the block ends well, it takes the place of `folder` in one step.

    A block that fails, or is killed, leaves `folder` as it was. Two processes that replace the same folder
    take turns. Where `folder` is a link, the folder that it leads to is replaced, and the link stays.

    Raises:
        UserError: if the disk is full or may not be written.
    """
    folder = folder.resolve() if folder.is_symlink() else folder
    filling = folder.parent / f".{folder.name}.partial"
    with access_errors(folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (folder.parent / f".{folder.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            _remove(filling)
            filling.mkdir()
            try:
                yield filling
                _take_place(filling, folder)
            finally:
                _remove(filling)


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    shutil.rmtree(path, ignore_errors=True)


def _take_place(new: Path, old: Path) -> None:
    if not old.exists():
        new.rename(old)
        return
    if not _exchange(new, old):
        # A file system that can't exchange two names: between these two lines there is no folder at all,
        # which every reader reports as missing.
        retired = old.parent / f".{old.name}.retired"
        _remove(retired)
        old.rename(retired)
        new.rename(old)
        shutil.rmtree(retired, ignore_errors=True)


def _exchange(first: Path, second: Path) -> bool:
    """Swap two names in one step (Linux: renameat2 with RENAME_EXCHANGE); False where that can't be."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    at_current_folder, exchange = -100, 2
    return (
        rename(at_current_folder, os.fsencode(first), at_current_folder, os.fsencode(second), exchange) == 0
    )
