"""Several sources as one, for a dataset that is made of files of more than one package."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Protocol

from modules.configuration.errors import UserError
from modules.sources.cache import checked_name


class Source(Protocol):
    """What brings files; every class of this package that a source YAML names is one.

    Attributes:
        changes: whether what it gives can change under its name.
    """

    changes: ClassVar[bool]

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def licence(self) -> str:
        """Of the data."""
        ...

    def fetch(self, cache: Path, folder: Path) -> None:
        """Bring the files into `folder`, by way of `cache`."""
        ...


class Several:
    """The files of several sources, those of each in the folder of its name.

    Args:
        name: what they are called together.
        parts: the sources, each pinned by its sha256; their names differ.

    Raises:
        UserError: there is no part, two have one name, or one is a folder that can change.
    """

    changes: ClassVar[bool] = False

    def __init__(self, name: str, parts: Sequence[Source]) -> None:
        self.name = checked_name("name", name)
        self.parts = parts
        names = [part.name for part in parts]
        if not parts:
            raise UserError(f"the source {name!r} has no parts", "Name a source or more in its parts")
        if twice := next((one for one in names if names.count(one) > 1), None):
            raise UserError(f"the source {name!r} has two parts {twice!r}", "Give each part its own name")
        if changing := next((part.name for part in parts if part.changes), None):
            raise UserError(
                f"the part {changing!r} of the source {name!r} can change", "Make it a source of its own"
            )

    @property
    def licence(self) -> str:
        """Those of all parts, each once."""
        return joined_licences([part.licence for part in self.parts])

    def fetch(self, cache: Path, folder: Path) -> None:
        """Bring every part into `cache`/<name>, verify it and unpack it into `folder`/<part>.

        Raises:
            UserError: a part can't be had, or is another content; it is named.
        """
        for part in self.parts:
            beneath = folder / part.name
            beneath.mkdir()
            try:
                part.fetch(cache / self.name, beneath)
            except UserError as error:
                raise UserError(
                    f"the part {part.name!r} of the source {self.name!r}: {error.problem}", error.hint
                ) from error


def joined_licences(licences: Sequence[str]) -> str:
    """Licences that hold together, each said once: `MIT AND GPL-2`."""
    return " AND ".join(dict.fromkeys(one for text in licences for one in text.split(" AND ")))
