"""Bits packed eight to a byte in a NumPy file, cut into fields, each bit as -1 or 1."""

from pathlib import Path

import numpy as np

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.samples import ArraySamples, Samples, raw_path


class PackedBitsReader:
    """Each row of the file is a sample; its bits fill the fields one after another.

    Args:
        file: an array of uint8, [samples, bytes].
        split: the name of the one split that they make.
    """

    def __init__(self, file: str, split: str = "train") -> None:
        self.file = file
        self.split = split

    def samples(self, raw: Path, fields: dict[str, FieldSettings]) -> dict[str, Samples]:
        """The one split; a sample's key is the number of its row.

        Raises:
            UserError: a row has not as many bits as the fields together, or the file is no such array.
        """
        path = raw_path(raw, self.file)
        try:
            rows = np.load(path, allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            raise UserError(f"{path} is no NumPy file: {error}", "Fetch it again") from error
        sizes = {name: int(np.prod([int(size) for size in about.shape])) for name, about in fields.items()}
        if rows.dtype != np.uint8 or rows.ndim != 2 or 8 * rows.shape[1] != sum(sizes.values()):
            raise UserError(
                f"{path} holds {rows.dtype} {list(rows.shape)}, which are not rows of"
                f" {sum(sizes.values())} bits",
                f"The fields need them: {', '.join(f'{name} {size}' for name, size in sizes.items())}",
            )
        bits = 2 * np.unpackbits(rows, axis=1).astype(np.int8) - 1
        parts = np.split(bits, np.cumsum(list(sizes.values()))[:-1], axis=1)
        arrays = {
            name: part.reshape(-1, *map(int, about.shape)).astype(about.dtype)
            for (name, about), part in zip(fields.items(), parts, strict=True)
        }
        return {self.split: ArraySamples([str(number) for number in range(len(rows))], arrays)}
