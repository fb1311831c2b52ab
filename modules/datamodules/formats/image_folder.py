"""One's own images: a folder for each class, any size, any format that Pillow reads."""

from pathlib import Path

import numpy as np

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.class_folders import class_folders
from modules.datamodules.encodings import MODES
from modules.datamodules.image_file import read_image, read_whole_image
from modules.datamodules.own_files import OnBadFile
from modules.datamodules.samples import Samples, raw_path

_ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}


class ImageFolderReader:
    """Images sorted into one folder a class, brought to the size and channels of the field `image`; where its
    height and width are names, each keeps its own.

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
        image, label = fields["image"], fields["label"]
        if image.dtype != "uint8" or len(image.shape) != 3 or image.shape[0] not in MODES:
            raise UserError(
                f"fields.image is {image.dtype} {image.shape}",
                "Images are uint8 [1, 3 or 4, height, width]",
            )
        top, channels = raw_path(raw, self.folder), int(image.shape[0])
        sizes = image.shape[1:]

        def read(path: Path) -> np.ndarray:
            match sizes:
                case [int(height), int(width)]:
                    return read_image(path, channels, height, width)
            return read_whole_image(path, channels)

        if len(image.symbols) == 1:
            hint = "Name both, to keep each image as it is, or neither, to fit it"
            raise UserError(f"fields.image.shape {image.shape} names one size", hint)
        return {self.split: class_folders(top, label, "image", _ENDINGS, read, self.on_bad_file)}
