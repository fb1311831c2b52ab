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
        sizes = {name: int(np.prod([int(size) for size in about.shape])) for name, about in fields.items()}
        num_bits = sum(sizes.values())
        needed = f"the fields {', '.join(f'{name} {size}' for name, size in sizes.items())}"
        rows = read_rows(raw, self.file, (num_bits + 7) // 8, needed)
        if 8 * rows.shape[1] != num_bits:
            raise UserError(
                f"{raw / self.file} has rows of {8 * rows.shape[1]} bits, and {needed} take {num_bits}",
                "The fields together take a whole row",
            )
        bits = 2 * np.unpackbits(rows, axis=1).astype(np.int8) - 1
        parts = np.split(bits, np.cumsum(list(sizes.values()))[:-1], axis=1)
        arrays = {
            name: part.reshape(-1, *map(int, about.shape)).astype(about.dtype)
            for (name, about), part in zip(fields.items(), parts, strict=True)
        }
        return {self.split: ArraySamples([str(number) for number in range(len(rows))], arrays)}


def read_rows(raw: Path, relative: str, num_bytes: int, needed: str) -> np.ndarray:
    """Rows of random bits, uint8 [samples, bytes].

    Args:
        raw: the folder of the source.
        relative: the file in it.
        num_bytes: that each row has at least.
        needed: what they are for, for messages.

    Raises:
        UserError: the file is no such array.
    """
    path = raw_path(raw, relative)
    try:
        rows = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise UserError(f"{path} is no NumPy file: {error}", "Fetch it again") from error
    if rows.dtype != np.uint8 or rows.ndim != 2 or rows.shape[1] < num_bytes:
        raise UserError(
            f"{path} holds {rows.dtype} {list(rows.shape)}, where {needed} take rows of {num_bytes} bytes",
            "Name a source whose num_bits are enough",
        )
    return rows
