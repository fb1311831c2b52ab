"""Sequences of symbols, made of random bits, and what a rule makes of them: copied, reversed, sorted.

Longer ones than those that are learned make a split of their own, `longer`: whether a rule is learned shows
there. The tasks are old; as tests of encoder and decoder: Grefenstette et al. (2015), *Learning to transduce
with unbounded memory*, arXiv 1506.02516, section 4.1.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.formats.packed_bits import read_rows
from modules.datamodules.samples import ArraySamples, Samples

SYMBOLS = "abcdefghijklmnopqrstuvwxyz"
Rule = Literal["copy", "reverse", "sort"]


class SymbolSequencesReader:
    """Each row of the file is a sample: `source`, and `target`, which the rule makes of it.

    Args:
        file: an array of uint8, [samples, bytes]: one for the length, one for each symbol.
        rule: `copy`, `reverse` or `sort`.
        num_symbols: that there are, 2 to 26.
        lengths: the fewest and the most symbols of a sequence.
        longer: the number of sequences of the split `longer`.
        longer_lengths: their fewest and most symbols.
        split: the name of the other split.

    Raises:
        UserError: there are no such symbols or lengths.
    """

    def __init__(
        self,
        file: str,
        rule: Rule,
        num_symbols: int,
        lengths: Sequence[int],
        longer: int,
        longer_lengths: Sequence[int],
        split: str = "train",
    ) -> None:
        if not 2 <= num_symbols <= len(SYMBOLS):
            raise UserError(f"reader.num_symbols={num_symbols}", f"Give 2 to {len(SYMBOLS)}")
        for key, value in {"lengths": lengths, "longer_lengths": longer_lengths}.items():
            if len(value) != 2 or not 1 <= value[0] <= value[1]:
                raise UserError(
                    f"reader.{key}={list(value)} is no range of lengths", "Write [fewest, most], 1 or more"
                )
        self.file, self.rule, self.num_symbols, self.split = file, rule, num_symbols, split
        self.lengths, self.longer, self.longer_lengths = lengths, longer, longer_lengths

    def samples(self, raw: Path, fields: dict[str, FieldSettings]) -> dict[str, Samples]:
        """The splits; a source chooses where a sample goes, so that equal ones lie in one split.

        Raises:
            UserError: the rows are too short or too few, or the fields are others.
        """
        if set(fields) != {"source", "target"}:
            raise UserError(f"the fields are {', '.join(fields)}", "Write source and target")
        most = max(self.lengths[1], self.longer_lengths[1])
        rows = read_rows(raw, self.file, most + 1, f"sequences of {most} symbols")
        if not 0 < self.longer < len(rows):
            raise UserError(
                f"reader.longer={self.longer}, and {self.file} has {len(rows)} rows", "Give fewer, 1 or more"
            )
        return {
            self.split: self._sequences(rows[self.longer :], self.lengths),
            "longer": self._sequences(rows[: self.longer], self.longer_lengths),
        }

    def _sequences(self, rows: np.ndarray, lengths: Sequence[int]) -> ArraySamples:
        fewest, most = lengths
        sizes = (fewest + rows[:, 0].astype(int) % (most - fewest + 1)).tolist()
        symbols = rows[:, 1:] % self.num_symbols
        sources = [
            "".join(SYMBOLS[symbol] for symbol in row[:size])
            for row, size in zip(symbols.tolist(), sizes, strict=True)
        ]
        columns = {"source": sources, "target": [self._ruled(source) for source in sources]}
        return ArraySamples([str(number) for number in range(len(rows))], columns, sources)

    def _ruled(self, source: str) -> str:
        match self.rule:
            case "copy":
                return source
            case "reverse":
                return source[::-1]
        return "".join(sorted(source))
