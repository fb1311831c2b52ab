"""Files fetched once, kept in a cache folder, and used only after their sha256 has been checked."""

import hashlib
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from modules.configuration.errors import UserError
from modules.configuration.refused_access import access_errors
from modules.configuration.regular_file import open_regular

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+~:-]*")


def checked_name(key: str, value: str) -> str:
    """`value`, if it can be the name of a file and can't be taken for an option of a command.

    Raises:
        UserError: if it holds a slash, a space or a control character, or starts with a dash or a dot.
    """
    if not _NAME.fullmatch(value):
        raise UserError(f"{key}={value!r} is no plain name", "Use letters, digits and ._+~:- only")
    return value


def sha256_of(path: Path) -> str:
    """The sha256 of a file's content, in hexadecimal."""
    with open_regular(path, links=True) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cached(cache: Path, filename: str, sha256: str, fetch: Callable[[Path], Path]) -> Path:
    """The file `filename` of the cache, fetched if it is not there, with the right content for certain.

    Args:
        cache: the folder that keeps what was fetched.
        filename: its name there; a file that was put there by hand serves as well.
        sha256: what its content must hash to.
        fetch: brings the file into the folder that it is given and returns its path. The folder keeps what an
            interrupted call left there, so that a client which can go on does.

    Raises:
        UserError: if what came has another hash, or if it can't be written.
    """
    kept = cache / filename
    if kept.is_file() and sha256_of(kept) == sha256:
        return kept
    arriving = cache / f"{filename}.partial"
    with access_errors(cache):
        arriving.mkdir(parents=True, exist_ok=True)
        arrived = fetch(arriving)
        got = sha256_of(arrived)
        if got != sha256:
            shutil.rmtree(arriving)
            raise UserError(
                f"{filename} isn't what its source YAML says: expected sha256 {sha256}, got {got}",
                "Fetch again; if you trust the new content, write its sha256 into the YAML",
            )
        arrived.replace(kept)
        shutil.rmtree(arriving)
    return kept


def run_client(command: Sequence[str], folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    """Run a package manager in `folder`; returns its exit status and all that it said."""
    done = subprocess.run(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace", check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


def last_error(output: str, mark: str) -> str:
    """The last line of a client's output that starts with `mark`, or its last line at all."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    marked = [line for line in lines if line.startswith(mark)]
    return (marked or lines or ["it said nothing"])[-1]
