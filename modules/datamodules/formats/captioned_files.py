"""Image files with a text each: drawings and the sentence that lies in a text file beside them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from modules.configuration.errors import UserError
from modules.configuration.regular_file import read_regular_text
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.image_file import read_image
from modules.datamodules.samples import Column, Samples, raw_path
from modules.sources.folder_files import files_beneath


class CaptionedFilesReader:
    """Images beside whose files lies a .txt of the same name: the fields `image`, laid on white, and
    `caption`, its first line. Those of one sentence lie in one split; images without a text are left out,
    and how many is said.

    Args:
        folder: of the images beneath the source.
        split: the name of the one split that they make.
    """

    def __init__(self, folder: str, split: str = "train") -> None:
        self.folder, self.split = folder, split

    def samples(self, raw: Path, fields: dict[str, FieldSettings]) -> dict[str, Samples]:
        """The one split; a sample's key is its path, its place its caption.

        Raises:
            UserError: the fields are others, there is no image, or none has a text.
        """
        size = image_size(fields)
        top = raw_path(raw, self.folder)
        files = [path for path in files_beneath(top) if path.suffix == ".png"]
        texts = {path: _first_line(path.with_suffix(".txt")) for path in files}
        named = [path for path in files if texts[path]]
        if not named:
            raise UserError(
                f"no image in {top} has a text beside it", "Put its words into a .txt of its name"
            )
        missing = len(files) - len(named)
        notes = [f"{missing} of {len(files)} images have no text and are left out"] if missing else []
        captions = [texts[path] for path in named]
        keys = [path.relative_to(top).as_posix() for path in named]
        return {self.split: CaptionedFiles(keys, captions, named, captions, size, notes)}


class CaptionedFiles:
    """Images that are read when they are asked for.

    Args:
        keys: a name for each.
        places: what chooses the split of each.
        files: the images.
        captions: the text of each.
        size: (channels, height, width) that they are fitted to.
        notes: what is to be said about them.
    """

    def __init__(
        self,
        keys: Sequence[str],
        places: Sequence[str],
        files: Sequence[Path],
        captions: Sequence[str],
        size: tuple[int, int, int],
        notes: Sequence[str],
    ) -> None:
        self.keys, self.places, self.notes = keys, places, notes
        self._files, self._captions, self._size = files, captions, size

    def read(self, numbers: np.ndarray) -> dict[str, Column]:
        """The fields of the samples with these numbers."""
        images = [read_image(self._files[number], *self._size) for number in numbers]
        return {"image": np.stack(images), "caption": [self._captions[number] for number in numbers]}


def image_size(fields: Mapping[str, FieldSettings]) -> tuple[int, int, int]:
    """Channels, height and width of the image, if the fields are `image` and `caption`.

    Raises:
        UserError: they are others, or images differ in size.
    """
    if set(fields) != {"image", "caption"} or len(fields["image"].shape) != 3 or fields["image"].symbols:
        raise UserError(
            f"the dataset has the fields {', '.join(fields)}",
            "Describe image, uint8 [3, height, width] of one size, and caption",
        )
    channels, height, width = (int(size) for size in fields["image"].shape)
    return channels, height, width


def _first_line(path: Path) -> str:
    """Empty where there is no such text."""
    if not path.is_file():
        return ""
    try:
        return next(iter(read_regular_text(path, links=True).splitlines()), "").strip()
    except ValueError as error:
        raise UserError(f"{path} is no text in UTF-8", "Save it as UTF-8") from error
