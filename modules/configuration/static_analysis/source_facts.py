"""What was read of Python files, kept on disk: one whose time and size have not changed is not parsed again.

Where nothing may be written, every command parses them again, and says the same.
"""

import atexit
import json
import os
import platform
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from modules.configuration.static_analysis.definitions import ROOT

Fact = TypeVar("Fact")

_KEPT = ROOT / "build" / "source_facts.json"
_READERS = ("code_fingerprint.py", "definitions.py", "source_facts.py")
"""The code that reads, beside this file; a change of it reads everything again."""


def source_fact(what: str, path: Path, read: Callable[[], Fact]) -> Fact:
    """What `read` says of a file, or said of it as it still is.

    Args:
        what: is asked.
        path: of the file.
        read: gives what JSON can hold.
    """
    status, known, key = path.stat(), _known(), f"{what} {path}"
    stamp = [status.st_mtime_ns, status.st_size]
    entry = known.get(key)
    if entry is None or entry[:2] != stamp:
        known[key] = entry = [*stamp, read()]
        _save_at_exit()
    return entry[2]


@cache
def _known() -> dict[str, list[Any]]:
    with suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(_KEPT.read_bytes())
        if kept["read_by"] == _read_by():
            return {key.replace(" ", f" {ROOT}{os.sep}", 1): entry for key, entry in kept["facts"].items()}
    return {}


@cache
def _save_at_exit() -> None:
    atexit.register(_save)


def _save() -> None:
    below = f" {ROOT}{os.sep}"
    facts = {key.replace(below, " ", 1): entry for key, entry in _known().items() if below in key}
    unfinished = _KEPT.with_name(f".{_KEPT.name}.{os.getpid()}")
    with suppress(OSError):
        _KEPT.parent.mkdir(exist_ok=True)
        unfinished.write_text(json.dumps({"read_by": _read_by(), "facts": facts}))
        unfinished.replace(_KEPT)


@cache
def _read_by() -> str:
    code = b"".join(Path(__file__).with_name(name).read_bytes() for name in _READERS)
    return f"Python {platform.python_version()} {sha256(code).hexdigest()}"
