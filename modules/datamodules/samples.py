"""What a reader gives: the samples of each split that its source has, by number."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from modules.configuration.errors import UserError
from modules.configuration.regular_file import check_regular
from modules.configuration.schema.data_settings import FieldSettings

Column = Any
"""One field of some samples: an array whose leading axis counts them, or a list of arrays or of texts."""


class Samples(Protocol):
    """The samples of one split of a source."""

    @property
    def keys(self) -> Sequence[str]:
        """A name for each that stays the same for ever."""
        ...

    @property
    def places(self) -> Sequence[str]:
        """What chooses the split of each, by its hash: the same for samples that must not be parted."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """What is to be said to who packs them: files that were left out, samples that are equal."""
        ...

    def read(self, numbers: np.ndarray) -> "Mapping[str, Column]":
        """The fields of the samples with these numbers.

        A field of one size is an array whose leading axis counts the samples, a ragged one a list of
        arrays, a field of text a list of texts.
        """
        ...


class Reader(Protocol):
    """Reads one file format. A data YAML names it with its keywords; see modules/datamodules/formats/."""

    def samples(self, raw: Path, fields: dict[str, FieldSettings]) -> dict[str, Samples]:
        """The splits of the source whose files lie under `raw`, with samples as `fields` describes them."""
        ...


class ArraySamples:
    """Samples that fit into memory.

    Args:
        keys: a name for each.
        arrays: the fields, by name: an array whose leading axis counts the samples, or a list of arrays or
            texts.
        places: what chooses the split of each; by default its name.
        notes: what is to be said about them.
    """

    def __init__(
        self,
        keys: Sequence[str],
        arrays: Mapping[str, Column],
        places: Sequence[str] | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        self.keys = keys
        self.arrays = arrays
        self.places = keys if places is None else places
        self.notes = notes

    def read(self, numbers: np.ndarray) -> dict[str, Column]:
        """The fields of the samples with these numbers."""
        return {
            name: values[numbers] if isinstance(values, np.ndarray) else [values[n] for n in numbers]
            for name, values in self.arrays.items()
        }


def raw_path(raw: Path, relative: str) -> Path:
    """A file or folder of a fetched source.

    Raises:
        UserError: if it isn't there, is neither file nor folder, or `relative` leads out of the source.
    """
    path = raw / relative
    if not path.resolve().is_relative_to(raw.resolve()):
        raise UserError(f"{relative!r} leads out of {raw}", "Name a path beneath it in the reader's YAML")
    if not path.exists():
        raise UserError(
            f"{path} is missing", f"Run `python -m pipelines.fetch source={raw.name}`, or correct the path"
        )
    if not path.is_dir():
        check_regular(path, links=True)
    return path
