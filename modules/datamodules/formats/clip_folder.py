"""One's own clips: a folder for each class, animated GIF, WebP or PNG."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, ImageSequence

from modules.configuration.errors import UserError
from modules.configuration.regular_file import open_regular
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.class_folders import class_folders
from modules.datamodules.encodings import MODES
from modules.datamodules.image_file import UNREADABLE, eight_bits, reason_of
from modules.datamodules.own_files import OnBadFile
from modules.datamodules.samples import Samples, raw_path

ENDINGS = {".gif", ".webp", ".png", ".apng"}


class ClipFolderReader:
    """Clips sorted into one folder a class, for the field `clip`: uint8 [frames, channels, height, width].

    Each frame is fitted to the field's size as an image is; there are as many as the file has.

    Args:
        folder: where the class folders lie beneath the source; empty for its top.
        split: the name of the one split that they make.
        on_bad_file: whether a file that cannot be read is an error, or left out and told.
    """

    def __init__(self, folder: str = "", split: str = "train", on_bad_file: OnBadFile = "error") -> None:
        self.folder = folder
        self.split = split
        self.on_bad_file: OnBadFile = on_bad_file

    def samples(self, raw: Path, fields: dict[str, FieldSettings]) -> dict[str, Samples]:
        """The one split; a sample's key is its path beneath the folder."""
        match fields["clip"]:
            case FieldSettings(dtype="uint8", shape=[str(), channels, int(height), int(width)]) if (
                channels in MODES
            ):
                pass
            case other:
                raise UserError(
                    f"fields.clip is {other.dtype} {other.shape}",
                    "Clips are uint8 [frames, 1, 3 or 4, height, width]",
                )
        top = raw_path(raw, self.folder)
        samples = class_folders(
            top,
            fields["label"],
            "clip",
            ENDINGS,
            lambda path: read_clip(path, channels, height, width),
            self.on_bad_file,
        )
        return {self.split: samples}


def read_clip(
    path: Path, channels: int, height: int, width: int, max_frames: int | None = None
) -> np.ndarray:
    """The frames of an animated image as uint8 [frames, channels, height, width].

    Args:
        path: of the file.
        channels: wanted: 1, 3 or 4.
        height: in pixels.
        width: in pixels.
        max_frames: of a longer clip so many are taken, as far apart as may be, the first among them; None =
            all.

    Raises:
        UserError: it is no image that can be read.
    """
    try:
        with open_regular(path, links=True) as file, Image.open(file) as opened:
            number = getattr(opened, "n_frames", 1)
            kept = min(number, max_frames or number)
            chosen = {place * number // kept for place in range(kept)}
            frames = [
                eight_bits(frame, channels)
                for place, frame in enumerate(ImageSequence.Iterator(opened))
                if place in chosen
            ]
    except UNREADABLE as error:
        raise UserError(
            f"{path} is no clip that can be read ({reason_of(error)})", "Repair or remove it"
        ) from error
    fitted = [ImageOps.fit(frame, (width, height), Image.Resampling.BILINEAR) for frame in frames]
    pixels = np.stack([np.asarray(frame) for frame in fitted])
    return pixels.reshape(len(frames), height, width, channels).transpose(0, 3, 1, 2)
