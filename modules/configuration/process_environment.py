"""What a process stands in, made such that libraries can work: a home, a user's name, a folder for what is
temporary.

In a container a user may have neither name nor home; Python, torch, MLflow, matplotlib and Ray each look for
one, and fail where there is none.
"""

import os
import pwd
import sys
import tempfile
from pathlib import Path

from modules.configuration.errors import UserError

LONGEST_TMPDIR, LONGEST_RAY_TMPDIR = 72, 36
"""Bytes that leave room for a socket's name (107 in all): that of a process, and that of Ray's session."""


def prepare() -> None:
    """Gives this process and its children a home, a user's name and a folder for what is temporary, where
    they have none that serves; says so in a line where that is another one than was asked for.

    Raises:
        UserError: there is no home, and nowhere to make one.
    """
    _prepare_name()
    _prepare_temporary()
    _prepare_home()


def _prepare_name() -> None:
    """getpass asks these before it asks the system, which does not know every number."""
    if any(os.environ.get(name) for name in ("LOGNAME", "USER", "LNAME", "USERNAME")):
        return
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        os.environ["LOGNAME"] = os.environ["USER"] = f"user{os.getuid()}"


def _prepare_temporary() -> None:
    given = os.environ.get("TMPDIR")
    if not given:
        return
    length = len(os.fsencode(given))
    if not _is_writable(Path(given)) or not Path(given).is_absolute():
        problem = "is no folder that can be written, named by its whole path"
    elif length > LONGEST_TMPDIR:
        problem = f"is {length} bytes long, more than the {LONGEST_TMPDIR} that a socket's path leaves"
    else:
        if length > LONGEST_RAY_TMPDIR:
            os.environ.setdefault("RAY_TMPDIR", "/tmp")
        return
    del os.environ["TMPDIR"]
    tempfile.tempdir = None  # what Python has found before
    print(f"note: TMPDIR={given} {problem}: another folder is taken", file=sys.stderr)


def _prepare_home() -> None:
    try:
        home = Path.home()
    except RuntimeError:  # a user without a name
        home = None
    if home is not None and _is_writable(home):
        return
    made = _own_folder()
    if home is None or not home.is_dir():
        os.environ["HOME"] = str(made)
        return
    # What lies there can still be read.
    os.environ.setdefault("XDG_CACHE_HOME", str(made / ".cache"))
    os.environ.setdefault("MPLCONFIGDIR", str(made / ".cache" / "matplotlib"))


def _own_folder() -> Path:
    """One for all commands of this user: what libraries keep there is worth keeping."""
    try:
        temporary = tempfile.gettempdir()
    except FileNotFoundError:
        raise UserError("there is no folder for temporary files", "Set TMPDIR to one of your own") from None
    made = Path(temporary) / f"trainyard-home-{os.getuid()}"
    made.mkdir(mode=0o700, exist_ok=True)
    if made.is_symlink() or made.stat().st_uid != os.getuid():
        made = Path(tempfile.mkdtemp(prefix="trainyard-home-"))
    return made


def _is_writable(folder: Path) -> bool:
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
