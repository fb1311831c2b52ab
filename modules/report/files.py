"""Files that the report is made of: one that can't be read is an error that names it."""

import json
import math
from pathlib import Path
from typing import Any

from modules.configuration.errors import UserError
from modules.configuration.regular_file import read_regular, read_regular_text


def read_text(path: Path) -> str:
    """A text in UTF-8.

    Raises:
        UserError: it is none, or can't be read.
    """
    try:
        return read_regular_text(path)
    except UnicodeDecodeError as error:
        raise broken(path, "is not text in UTF-8") from error
    except OSError as error:
        raise broken(path, f"can't be read: {error.strerror}") from error


def read_json(path: Path, keys: tuple[str, ...] = (), kind: type = dict) -> Any:
    """A JSON document of one kind, with these keys.

    Raises:
        UserError: it is none.
    """
    try:
        found = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise broken(path, "is not JSON") from error
    if not isinstance(found, kind):
        raise broken(path, f"must hold a {kind.__name__}")
    for key in keys:
        if key not in found:
            raise broken(path, f"has no key {key!r}")
    return found


def finite(value: Any) -> float:
    """A number; ValueError or TypeError if it is none."""
    try:
        number = float(value)
    except OverflowError as error:
        raise ValueError("a number is too large") from error
    if not math.isfinite(number):
        raise ValueError(f"{value} is not finite")
    return number


def read_beside(path: Path, name: str) -> bytes:
    """A file that the document at `path` names, which must lie in the same folder.

    Raises:
        UserError: it does not, or can't be read: only what lies there goes into a page that is passed on.
    """
    file = path.parent / name
    try:
        if file.resolve().parent != path.parent.resolve():
            raise broken(path, f"names an image outside its folder: {name!r}")
        return read_regular(file)
    except OSError as error:
        raise broken(file, f"can't be read: {error.strerror}") from error


def broken(path: Path, problem: str) -> UserError:
    """What is wrong with a file, and what to do about it."""
    return UserError(f"{path} {problem}", "Delete it, and run the verb that wrote it again")
