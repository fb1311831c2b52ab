"""Files sorted into one folder a class: images, sounds, clips."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import numpy as np

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.samples import Column, raw_path


class ClassFolderSamples:
    """Samples read from their files when they are asked for; a sample's key is its path beneath the folder.

    Args:
        top: the folder of the class folders.
        label: the field of class numbers; its classes are the folders.
        field: the name of the field that a file makes.
        kind: what a file is, for messages.
        endings: of the files that are taken, in lower case.
        read: from a file to the field's values.

    Raises:
        UserError: a class has no folder, or its folder no such file.
    """

    def __init__(
        self,
        top: Path,
        label: FieldSettings,
        field: str,
        kind: str,
        endings: Collection[str],
        read: Callable[[Path], np.ndarray],
    ) -> None:
        self._files: list[Path] = []
        labels: list[int] = []
        for number, name in enumerate(label.classes or []):
            found = sorted(path for path in raw_path(top, name).rglob("*") if path.suffix.lower() in endings)
            if not found:
                raise UserError(f"{top / name} holds no {kind}", "Put some there, or leave the class out")
            self._files += found
            labels += [number] * len(found)
        self.keys = [file.relative_to(top).as_posix() for file in self._files]
        self._labels = np.array(labels, label.dtype)
        self._field = field
        self._read = read

    def read(self, numbers: np.ndarray) -> Mapping[str, Column]:
        """The field, and the label."""
        values = [self._read(self._files[number]) for number in numbers]
        same = len({one.shape for one in values}) == 1
        return {self._field: np.stack(values) if same else values, "label": self._labels[numbers]}
