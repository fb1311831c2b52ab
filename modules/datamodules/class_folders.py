"""Files sorted into one folder a class: images, sounds, clips."""

from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.own_files import (
    FileSamples,
    LeftOut,
    OnBadFile,
    content_hash,
    equal_notes,
    read_all,
    visible_files,
)
from modules.datamodules.samples import raw_path


def class_folders(
    top: Path,
    label: FieldSettings,
    field: str,
    endings: Collection[str],
    read: Callable[[Path], np.ndarray],
    on_bad_file: OnBadFile = "error",
) -> FileSamples:
    """The samples of all class folders; a sample's key is its path beneath the folder.

    Every file is read once beforehand: equal ones lie in one split, and all damaged ones are named at once.

    Args:
        top: the folder of the class folders.
        label: the field of class numbers; its classes are the folders.
        field: the name of the field that a file makes, and what a file is, for messages.
        endings: of the files that are taken, in lower case.
        read: from a file to the field's values.
        on_bad_file: what becomes of a file that cannot be read.

    Raises:
        UserError: a class has no folder, or its folder no such file; or files cannot be read.
    """
    classes = label.classes or []
    left_out = LeftOut(top)
    by_class: dict[str, list[Path]] = {name: [] for name in classes}
    for name in classes:
        raw_path(top, name)
    for path in visible_files(top, left_out):
        folder, *inner = path.relative_to(top).parts
        if not inner:
            left_out.add("in no class folder", path)
        elif folder not in by_class:
            left_out.add("in a folder that fields.label.classes does not name", path)
        elif path.suffix.lower() not in endings:
            left_out.add(f"not of an ending that is read ({' '.join(sorted(endings))})", path)
        else:
            by_class[folder].append(path)
    for name, files in by_class.items():
        if not files:
            raise UserError(f"{top / name} holds no {field}", "Put some there, or leave the class out")
    files = [path for name in classes for path in by_class[name]]
    hashes = read_all(files, lambda path: content_hash(read(path)), on_bad_file, left_out)
    numbers = {name: number for number, name in enumerate(classes)}
    labels = np.array([numbers[path.relative_to(top).parts[0]] for path in hashes], label.dtype)
    keys = [path.relative_to(top).as_posix() for path in hashes]
    places = list(hashes.values())
    notes = [*left_out.notes, *equal_notes(keys, places)]
    return FileSamples(keys, list(hashes), places, read, field, {"label": labels}, notes)
