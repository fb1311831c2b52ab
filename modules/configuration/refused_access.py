"""A file that may not be read or written, and a disk that is full, in one line: path, owner and way out."""

import errno
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modules.configuration.errors import UserError, disk_error

_RIGHTS = (errno.EACCES, errno.EPERM)
_DISK = {
    errno.ENOSPC: "Free some space on that disk and run the command again",
    errno.EDQUOT: "Your quota there is used up: free some space and run the command again",
    errno.EFBIG: "The file system takes no file of that size: choose another folder",
    errno.EEXIST: "A file is in its place: move it, or choose another folder",
    errno.ENOTDIR: "A file is in the place of one of its folders: move it, or choose another folder",
    errno.EROFS: "That file system is read-only: mount it for writing, or work in a copy of the project",
}


def access_error(error: OSError, path: Path | None = None) -> UserError | None:
    """What a user can do about an error of the system; None where it is of another kind, or names no file.

    Args:
        error: as the system raised it.
        path: what was read or written, where the error does not say.
    """
    named = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else path
    if named is None:
        return None
    if error.errno in _DISK:
        return disk_error(error.errno, f"can't write {named}: {error.strerror}", _DISK[error.errno])
    return _no_right(named, f"{error.strerror}") if error.errno in _RIGHTS else None


@contextmanager
def access_errors(path: Path) -> Iterator[None]:
    """Turns what a user can do something about into one clear line.

    Args:
        path: what is read or written, where an error does not say.

    Raises:
        UserError: a disk is full or read-only, or a right is missing.
    """
    try:
        yield
    except OSError as error:
        refusal = access_error(error, path)
        if refusal is None:
            raise
        raise refusal from error


def write_refusal(path: Path) -> UserError | None:
    """Why nothing can be made at a path or replaced there; None where nothing speaks against it."""
    place = path if path.is_dir() else _nearest(path.parent)
    if os.access(place, os.W_OK | os.X_OK):
        return None
    if os.statvfs(place).f_flag & os.ST_RDONLY:
        return UserError(f"can't write {path}: {os.strerror(errno.EROFS)}", _DISK[errno.EROFS])
    return _no_right(path, os.strerror(errno.EACCES))


def user_name(number: int) -> str:
    """The name of a user, or the number of one without a name, as in a container."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"


def _no_right(path: Path, reason: str) -> UserError:
    place = _nearest(path)
    does = "read" if place == path and path.is_file() and not os.access(path, os.R_OK) else "write"
    owner, self = place.stat().st_uid, os.geteuid()
    if owner == self:
        return UserError(f"can't {does} {path}: {reason}", f"{place} is yours: chmod -R u+rwX {place}")
    theirs = user_name(owner)
    return UserError(
        f"can't {does} {path}: {reason}; {place} belongs to {theirs}, and you are {user_name(self)}",
        f"Have {theirs} give you the right (chmod), or work in a copy of the project",
    )


def _nearest(path: Path) -> Path:
    """The path itself, or the nearest folder above it that is there and can be looked at."""
    path = path.absolute()
    for place in (path, *path.parents):
        try:
            place.stat()
        except OSError:
            continue
        return place
    return Path("/")
