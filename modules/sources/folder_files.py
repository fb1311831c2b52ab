"""The files of a folder, those of linked folders included."""

import os
from pathlib import Path

_LEFT_BY_PROGRAMS = {"__MACOSX", "Thumbs.db", "desktop.ini"}


def files_beneath(top: Path) -> list[Path]:
    """All that is no folder, by name; a linked folder is followed, once if it leads back into itself."""
    found: list[Path] = []
    for folder, names, files in os.walk(top, followlinks=True):
        above = {path.resolve() for path in (Path(folder), *Path(folder).parents)}
        names[:] = [name for name in names if not _leads_back(Path(folder, name), above)]
        found += [Path(folder, name) for name in files]
    return sorted(found)


def is_hidden(path: Path) -> bool:
    """Whether a path beneath a folder is a program's own, such as `.ipynb_checkpoints/cat-checkpoint.png`."""
    return any(part.startswith(".") or part in _LEFT_BY_PROGRAMS for part in path.parts)


def shown(path: Path) -> str:
    """A path as text that can be printed and written, even where its name is no UTF-8."""
    return os.fsencode(path.as_posix()).decode("utf-8", "backslashreplace")


def _leads_back(folder: Path, above: set[Path]) -> bool:
    return folder.is_symlink() and folder.resolve() in above
