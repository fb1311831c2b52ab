"""Parity, made of random bits: whether an even or an odd number of the bits are 1.

As Kalchbrenner, Danihelka & Graves (2015), arXiv 1507.01526, section 4.1, take it: all bits at once.
"""

from pathlib import Path

import numpy as np

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.formats.packed_bits import read_rows
from modules.datamodules.samples import ArraySamples, Samples

PARITIES = ["even", "odd"]


class ParityReader:
    """The first bits of each row of the file are a sample: `bits`, [bit], and `label`.

    Args:
        file: an array of uint8, [samples, bytes].
        split: the name of the one split that they make.
    """

    def __init__(self, file: str, split: str = "train") -> None:
        self.file = file
        self.split = split

    def samples(self, raw: Path, fields: dict[str, FieldSettings]) -> dict[str, Samples]:
        """The one split; the bits themselves choose where a sample goes, so that equal ones lie in one split.

        Raises:
            UserError: the rows have too few bits, or the fields are others.
        """
        if set(fields) != {"bits", "label"} or fields["label"].classes != PARITIES:
            raise UserError("the fields are not bits and a label", f"Write bits, and label with {PARITIES}")
        (num_bits,) = map(int, fields["bits"].shape)
        rows = read_rows(raw, self.file, (num_bits + 7) // 8, f"{num_bits} bits")
        bits = np.unpackbits(rows, axis=1)[:, :num_bits]
        columns = {
            "bits": bits.astype(fields["bits"].dtype),
            "label": (bits.sum(axis=1) % 2).astype(np.int64),
        }
        places = [row.tobytes().hex() for row in np.packbits(bits, axis=1)]
        keys = [str(number) for number in range(len(rows))]
        return {self.split: ArraySamples(keys, columns, places)}
