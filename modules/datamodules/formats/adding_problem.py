"""The adding problem, made of random bits: the sum of two marked values in a long sequence.

Hochreiter & Schmidhuber (1997), *Long short-term memory*, Neural Computation 9, experiment 4. As Arjovsky,
Shah & Bengio (2016, arXiv 1511.06464) take it: values in [0, 1), one of the first half of the sequence and
one of the second are marked by 1, all others by 0, and the target is the sum of the two.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.formats.packed_bits import read_rows
from modules.datamodules.samples import ArraySamples, Samples

_MARKS_BYTES = 8
"""Of a row, what chooses which two steps are marked; two bytes for each value follow."""


class AddingProblemReader:
    """Each row of the file is a sample: `sequence`, [time, 2], value and mark of each step, and `sum`, [1].

    Args:
        file: an array of uint8, [samples, bytes].
        lengths: steps of the sequences, which have them in turn, so that each length has as many samples.
        split: the name of the one split that they make.

    Raises:
        ValueError: a length has no two halves.
    """

    def __init__(self, file: str, lengths: Sequence[int], split: str = "train") -> None:
        if not lengths or min(lengths) < 2:
            raise ValueError(f"lengths={list(lengths)}: a sequence has at least two steps")
        self.file = file
        self.lengths = list(lengths)
        self.split = split

    def samples(self, raw: Path, fields: dict[str, FieldSettings]) -> dict[str, Samples]:
        """The one split; a sample's key is the number of its row.

        Raises:
            UserError: the rows are too short for the longest sequence, or the fields are others.
        """
        if set(fields) != {"sequence", "sum"}:
            raise UserError(f"the fields are {', '.join(fields)}", "Write sequence and sum")
        needed = _MARKS_BYTES + 2 * max(self.lengths)
        rows = read_rows(raw, self.file, needed, f"sequences of {max(self.lengths)} steps")
        marks = rows[:, :_MARKS_BYTES].copy().view("<u4")
        values = (rows[:, _MARKS_BYTES:needed].copy().view("<u2") / 2**16).astype(np.float32)
        sequences, sums = [], np.empty((len(rows), 1), np.float32)
        for number, row in enumerate(values):
            length = self.lengths[number % len(self.lengths)]
            half = length // 2
            first, second = marks[number].tolist()
            marked = [first % half, half + second % (length - half)]
            sequence = np.zeros((length, 2), np.float32)
            sequence[:, 0] = row[:length]
            sequence[marked, 1] = 1.0
            sequences.append(sequence)
            sums[number] = row[marked].sum()
        keys = [str(number) for number in range(len(rows))]
        return {self.split: ArraySamples(keys, {"sequence": sequences, "sum": sums})}
