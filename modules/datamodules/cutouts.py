"""Image files chosen by patterns: objects cut out along their outlines, and photographs to put them on."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
from PIL import Image

from modules.configuration.errors import UserError
from modules.datamodules.image_file import read_whole_image
from modules.datamodules.samples import raw_path
from modules.sources.folder_files import files_beneath

OPAQUE = 128
"""The alpha, 0..255, from which on a pixel belongs to an object."""
MAX_CUTOUT_PX = 256
MAX_PHOTOGRAPH_PX = 512


class FilePatterns:
    """The files beneath a folder of a source, by patterns of their paths.

    Args:
        raw: the fetched source.
        folder: beneath it.
    """

    def __init__(self, raw: Path, folder: str = ".") -> None:
        self._top = raw_path(raw, folder)
        self._names = [path.relative_to(self._top).as_posix() for path in files_beneath(self._top)]

    def fitting(self, patterns: Sequence[str], key: str) -> list[str]:
        """The paths beneath the folder that fit a pattern (with *, which takes / as well, ? and []).

        Args:
            patterns: such as `animals/fish/*.png`.
            key: where they stand in the configuration, for the message.

        Raises:
            UserError: a pattern fits no file.
        """
        found: set[str] = set()
        for pattern in patterns:
            mine = [name for name in self._names if fnmatchcase(name, pattern)]
            if not mine:
                raise UserError(f"{key}: {pattern!r} fits no file in {self._top}", "Correct or remove it")
            found.update(mine)
        return sorted(found)

    def path(self, name: str) -> Path:
        """Where a file lies."""
        return self._top / name


def read_cutout(path: Path) -> Image.Image:
    """An object, RGBA, trimmed to the pixels that belong to it, its longer side `MAX_CUTOUT_PX` at most.

    Raises:
        UserError: the file is no image, or cuts nothing out.
    """
    pixels = read_whole_image(path, 4).transpose(1, 2, 0)
    rows, columns = np.nonzero(pixels[:, :, 3] >= OPAQUE)
    if len(rows) == 0 or pixels[:, :, 3].min() >= OPAQUE:
        kind = "no opaque pixel" if len(rows) == 0 else "no transparent pixel"
        raise UserError(f"{path} has {kind}: it is no object cut out", "Choose another file")
    trimmed = pixels[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    cutout = Image.fromarray(np.ascontiguousarray(trimmed))
    cutout.thumbnail((MAX_CUTOUT_PX, MAX_CUTOUT_PX), Image.Resampling.LANCZOS, reducing_gap=None)
    return cutout


def read_photograph(path: Path) -> Image.Image:
    """A photograph, RGB, its shorter side `MAX_PHOTOGRAPH_PX` at most.

    Raises:
        UserError: the file is no image, or is grey.
    """
    pixels = read_whole_image(path, 3).transpose(1, 2, 0)
    if (pixels == pixels[:, :, :1]).all():
        raise UserError(f"{path} is grey", "Choose photographs in colour")
    photograph = Image.fromarray(np.ascontiguousarray(pixels))
    scale = MAX_PHOTOGRAPH_PX / min(photograph.size)
    if scale < 1:
        width, height = (round(side * scale) for side in photograph.size)
        photograph = photograph.resize((width, height), Image.Resampling.LANCZOS)
    return photograph
