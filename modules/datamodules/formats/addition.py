"""Addition, made of random bits: two numbers digit by digit, and then their sum, a digit for each step.

Kalchbrenner, Danihelka & Graves (2015), arXiv 1507.01526, section 4.2: the most significant digit comes
first, and what was answered is not given back. Numbers with fewer digits begin with zeros.

    text    04711+38052=------
    labels  ------------042763
"""

from pathlib import Path

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.formats.packed_bits import read_rows
from modules.datamodules.samples import ArraySamples, Samples

BLANK = "-"
MOST_DIGITS = 15
"""Of the 64 bits that a number is made of: its digits are then uniform to 1 in 10,000."""


class AdditionReader:
    """Each row of the file is a sample: `text` and `labels`, of equal length.

    Args:
        file: an array of uint8, [samples, bytes], eight bytes for each of the two numbers.
        num_digits: of each number.
        split: the name of the one split that they make.

    Raises:
        ValueError: there are no such numbers.
    """

    def __init__(self, file: str, num_digits: int, split: str = "train") -> None:
        if not 1 <= num_digits <= MOST_DIGITS:
            raise ValueError(f"num_digits={num_digits}: numbers have 1 to {MOST_DIGITS} digits")
        self.file = file
        self.num_digits = num_digits
        self.split = split

    def samples(self, raw: Path, fields: dict[str, FieldSettings]) -> dict[str, Samples]:
        """The one split; the two numbers, in either order, choose where a sample goes: a pair lies in one
        split.

        Raises:
            UserError: the rows are too short for two numbers, or the fields are others.
        """
        if set(fields) != {"text", "labels"}:
            raise UserError(f"the fields are {', '.join(fields)}", "Write text and labels")
        rows = read_rows(raw, self.file, 16, "two numbers")
        pairs = (rows[:, :16].copy().view("<u8") % 10**self.num_digits).tolist()
        digits = self.num_digits
        answer, asked = BLANK * (digits + 1), BLANK * (2 * digits + 2)
        columns = {
            "text": [f"{first:0{digits}}+{second:0{digits}}={answer}" for first, second in pairs],
            "labels": [f"{asked}{first + second:0{digits + 1}}" for first, second in pairs],
        }
        keys = [str(number) for number in range(len(rows))]
        places = [f"{min(pair)}+{max(pair)}" for pair in pairs]
        return {self.split: ArraySamples(keys, columns, places)}
