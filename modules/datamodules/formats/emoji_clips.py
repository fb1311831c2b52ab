"""Animated emoji and what they are called; see `modules.datamodules.formats.emoji`."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.formats.clip_folder import read_clip
from modules.datamodules.formats.emoji import NamedFile, named_files
from modules.datamodules.samples import Column, Samples


class EmojiClipsReader:
    """The fields `clip`, laid on white, and `caption`; those without a name, and second files of one, are
    left out, and how many is said. What does not move is a clip of one frame.

    Args:
        images: folder of the files beneath the source.
        names: emojibase's `data.json` of a language.
        max_frames: of a longer clip so many are taken, as far apart as may be.
        split: the name of the one split that they make.

    Raises:
        UserError: no frame may be taken.
    """

    def __init__(self, images: str, names: str, max_frames: int = 16, split: str = "train") -> None:
        if max_frames < 1:
            raise UserError(f"reader.max_frames={max_frames} takes no frame", "Give 1 or more")
        self.images, self.names, self.max_frames, self.split = images, names, max_frames, split

    def samples(self, raw: Path, fields: dict[str, FieldSettings]) -> dict[str, Samples]:
        """The one split; a sample's key is its code points, its place those of its design without skin tones.

        Raises:
            UserError: the fields are others, there is no file, or the names cannot be read.
        """
        if set(fields) != {"clip", "caption"} or len(fields["clip"].symbols) != 1:
            raise UserError(
                f"the dataset has the fields {', '.join(fields)}",
                "Describe clip, uint8 [frames, 3, height, width], and caption",
            )
        shape = fields["clip"].shape
        if len(shape) != 4 or not isinstance(shape[0], str):
            raise UserError(f"fields.clip is {shape}", "Write [frames, 3, height, width]")
        channels, height, width = (int(size) for size in shape[1:])
        named, notes = named_files(raw, self.images, self.names)
        return {self.split: _Clips(named, (channels, height, width), self.max_frames, notes)}


class _Clips:
    """Clips that are read when they are asked for."""

    def __init__(
        self, named: list[NamedFile], size: tuple[int, int, int], max_frames: int, notes: Sequence[str]
    ) -> None:
        self.keys, self.places = [one.file.stem for one in named], [one.design for one in named]
        self.notes = notes
        self._named, self._size, self._max_frames = named, size, max_frames

    def read(self, numbers: np.ndarray) -> dict[str, Column]:
        some = [self._named[number] for number in numbers]
        return {
            "clip": [read_clip(one.file, *self._size, self._max_frames) for one in some],
            "caption": [one.name for one in some],
        }
