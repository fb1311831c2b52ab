"""One sample of several images, each a file: such as the photograph and the painting of a style transfer."""

from pathlib import Path

import numpy as np

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.encodings import MODES
from modules.datamodules.image_file import read_image
from modules.datamodules.samples import ArraySamples, Samples, raw_path


class ImagePairReader:
    """One sample, the same in every split: there is nothing beside it that could be held back.

    Args:
        files: of each field, beneath the source; of any size: the middle of an image is cut to the field's
            proportions and resized.
        splits: names of the splits that hold it.
        margins: shares of an image that are cut off at each side before, such as a painting's frame.

    Raises:
        ValueError: a margin is of no field, or leaves nothing of the image.
    """

    def __init__(
        self, files: dict[str, str], splits: list[str], margins: dict[str, float] | None = None
    ) -> None:
        self.files = files
        self.splits = splits
        self.margins = margins or {}
        for name, margin in self.margins.items():
            if name not in files or not 0 <= margin < 0.5:
                raise ValueError(f"margins: {name}={margin} is of no file, or not in 0 to below 0.5")

    def samples(self, raw: Path, fields: dict[str, FieldSettings]) -> dict[str, Samples]:
        """The splits; the sample's key is 0.

        Raises:
            UserError: fields and files differ, a field is no image, or a file is none.
        """
        if set(self.files) != set(fields):
            raise UserError(
                f"reader.files names {sorted(self.files)}, the dataset has the fields {sorted(fields)}",
                "Give each field a file",
            )
        arrays: dict[str, np.ndarray] = {}
        for name, about in fields.items():
            sizes = [size for size in about.shape if isinstance(size, int)]
            if about.dtype != "uint8" or len(sizes) != 3 or sizes[0] not in MODES:
                raise UserError(
                    f"fields.{name} is {about.dtype} {about.shape}",
                    "Images are uint8 [1, 3 or 4, height, width]",
                )
            channels, height, width = sizes
            arrays[name] = read_image(
                raw_path(raw, self.files[name]), channels, height, width, self.margins.get(name, 0.0)
            )[None]
        return {split: ArraySamples(["0"], arrays) for split in self.splits}
