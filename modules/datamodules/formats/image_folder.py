"""One's own images: a folder for each class, any size, any format that Pillow reads."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.encodings import MODES
from modules.datamodules.image_file import read_image
from modules.datamodules.samples import Samples, raw_path

_ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}


class ImageFolderReader:
    """Images sorted into one folder a class, brought to the size and channels of the field `image`.

    Args:
        folder: where the class folders lie beneath the source; empty for its top.
        split: the name of the one split that they make.
    """

    def __init__(self, folder: str = "", split: str = "train") -> None:
        self.folder = folder
        self.split = split

    def samples(self, raw: Path, fields: dict[str, FieldSettings]) -> dict[str, Samples]:
        """The one split; a sample's key is its path beneath the folder."""
        image, label = fields["image"], fields["label"]
        if image.dtype != "uint8" or len(image.shape) != 3 or image.shape[0] not in MODES:
            raise UserError(
                f"fields.image is {image.dtype} {image.shape}",
                "Images are uint8 [1, 3 or 4, height, width]",
            )
        top = raw_path(raw, self.folder)
        files: list[Path] = []
        labels: list[int] = []
        for number, name in enumerate(label.classes or []):
            images = sorted(
                path for path in raw_path(top, name).rglob("*") if path.suffix.lower() in _ENDINGS
            )
            if not images:
                raise UserError(f"{top / name} holds no image", "Put some there, or leave the class out")
            files += images
            labels += [number] * len(images)
        return {
            self.split: _ImageSamples(
                top, files, np.array(labels, label.dtype), [int(size) for size in image.shape]
            )
        }


class _ImageSamples:
    """Images decoded when they are asked for."""

    def __init__(self, top: Path, files: Sequence[Path], labels: np.ndarray, shape: list[int]) -> None:
        self.keys = [file.relative_to(top).as_posix() for file in files]
        self._files = files
        self._labels = labels
        self._shape = shape

    def read(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        images = [read_image(self._files[number], *self._shape) for number in numbers]
        return {"image": np.stack(images), "label": self._labels[numbers]}
