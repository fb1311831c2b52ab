"""One's own files, each a sample or several: what is taken, what is left out and why, and what is damaged."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from modules.configuration.errors import UserError
from modules.datamodules.samples import Column
from modules.sources.folder_files import files_beneath, is_hidden

OnBadFile = Literal["error", "skip"]
_NAMED = 3
"""How many files a note names."""


class LeftOut:
    """Files that are not taken, by reason.

    Attributes:
        notes: a line for each reason: how many files, why, and the first of them.
    """

    def __init__(self, top: Path) -> None:
        self._top = top
        self._by_reason: dict[str, list[str]] = {}

    def add(self, reason: str, path: Path) -> None:
        """One more file for that reason."""
        self._by_reason.setdefault(reason, []).append(path.relative_to(self._top).as_posix())

    @property
    def notes(self) -> list[str]:
        return [f"{counted(paths)} left out, {reason}" for reason, paths in self._by_reason.items()]


def visible_files(top: Path, left_out: LeftOut) -> list[Path]:
    """The files beneath a folder that are no program's own."""
    found = files_beneath(top)
    for path in found:
        if is_hidden(path.relative_to(top)):
            left_out.add("hidden", path)
    return [path for path in found if not is_hidden(path.relative_to(top)) and path != top / "source.json"]


def counted(paths: Sequence[str]) -> str:
    """`2 files (a.txt, b.txt)`; of many, the first few are named."""
    more = ", ..." if len(paths) > _NAMED else ""
    return f"{len(paths)} file{'s' * (len(paths) != 1)} ({', '.join(paths[:_NAMED])}{more})"


def read_all(
    files: Sequence[Path],
    read: Callable[[Path], Any],
    on_bad_file: OnBadFile,
    left_out: LeftOut,
) -> dict[Path, Any]:
    """What `read` makes of each file that it can read.

    Raises:
        UserError: files cannot be read and are not to be skipped, naming all; or no file can.
    """
    found: dict[Path, Any] = {}
    bad: list[UserError] = []
    for path in files:
        try:
            found[path] = read(path)
        except UserError as error:
            bad.append(error)
            left_out.add("cannot be read", path)
    if bad and (on_bad_file == "error" or not found):
        if len(bad) == 1:
            raise bad[0]
        problems = "; ".join(error.problem for error in bad)
        raise UserError(
            f"{len(bad)} files cannot be used: {problems}",
            "Repair or remove them, or let the reader leave them out: on_bad_file: skip",
        )
    return found


def content_hash(values: np.ndarray) -> str:
    """What tells a sample's values from all others."""
    about = f"{values.dtype} {values.shape}".encode()
    return hashlib.sha256(about + np.ascontiguousarray(values).tobytes()).hexdigest()


def equal_notes(keys: Sequence[str], places: Sequence[str]) -> list[str]:
    """A line that says how many samples hold what an earlier one holds; none if all differ."""
    first: dict[str, str] = {}
    pairs = [
        (key, first[place])
        for key, place in zip(keys, places, strict=True)
        if first.setdefault(place, key) != key
    ]
    if not pairs:
        return []
    return [
        f"{len(pairs)} of {len(keys)} samples hold the same as another ({pairs[0][0]} as {pairs[0][1]}):"
        " equal ones lie in one split"
    ]


class FileSamples:
    """Samples read from their files when they are asked for.

    Args:
        keys: a name for each.
        files: of each.
        places: of each the hash of its content: equal samples lie in one split.
        read: from a file to the field's values.
        field: the name of the field that a file makes.
        more: the other fields.
        notes: what is to be said about them.
    """

    def __init__(
        self,
        keys: Sequence[str],
        files: Sequence[Path],
        places: Sequence[str],
        read: Callable[[Path], np.ndarray],
        field: str,
        more: Mapping[str, np.ndarray],
        notes: Sequence[str],
    ) -> None:
        self.keys = keys
        self.places = places
        self.notes = notes
        self._files = files
        self._read = read
        self._field = field
        self._more = more

    def read(self, numbers: np.ndarray) -> Mapping[str, Column]:
        """The field, and the others."""
        values = [self._read(self._files[number]) for number in numbers]
        same = len({one.shape for one in values}) == 1
        more = {name: column[numbers] for name, column in self._more.items()}
        return {self._field: np.stack(values) if same else values, **more}
