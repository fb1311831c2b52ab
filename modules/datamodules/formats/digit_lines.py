"""Handwritten digits side by side in a line, as in a number written by hand; some touch.

Lines are made when they are asked for. A line of a split holds digits of that split of the digits alone.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.formats.line_images import line_size
from modules.datamodules.formats.split_digits import Digits, scaled, split_digits
from modules.datamodules.samples import Samples
from modules.datamodules.seeded import generator_of

_DIGITS = "0123456789"
_SCALE = (0.85, 1.1)
_GAIN = (0.7, 1.0)
_GAP_PX = (-2, 5)
_DIGIT_PX = 27
"""That a digit takes at most, with its gap."""
_MAX_NOISE = 14.0
"""Standard deviation, in levels 0..255."""


class DigitLinesReader:
    """Lines in an image of one size, somewhere in it.

    Args:
        folder: where the digits' files lie beneath the source; see `JsonDigitsReader`.
        held_out: share of the digits of each split but the first, cut as a dataset's `splits` are.
        num_lines: of each split.
        lengths: the fewest and the most digits of a line.
        seed: of all chance; a line depends on it, its split and its number alone.

    Raises:
        UserError: it is no range of lengths.
    """

    def __init__(
        self,
        folder: str,
        held_out: Mapping[str, float],
        num_lines: Mapping[str, int],
        lengths: Sequence[int],
        seed: int = 0,
    ) -> None:
        if len(lengths) != 2 or not 1 <= lengths[0] <= lengths[1]:
            raise UserError(f"reader.lengths={list(lengths)} is no range", "Write [fewest, most], 1 or more")
        self.folder, self.held_out, self.num_lines = folder, held_out, num_lines
        self.lengths, self.seed = (lengths[0], lengths[1]), seed

    def samples(self, raw: Path, fields: dict[str, FieldSettings]) -> dict[str, Samples]:
        """The splits with `image`, grey, and `text`; a line's key is its number.

        Raises:
            UserError: the fields are others, or the image is too small for the longest line.
        """
        height, width = line_size(fields)
        if height < 28 or width < _DIGIT_PX * self.lengths[1]:
            raise UserError(
                f"fields.image is {height}x{width} pixels, and lines have up to {self.lengths[1]} digits",
                f"Give it 28 rows and {_DIGIT_PX * self.lengths[1]} columns or more",
            )
        found = split_digits(raw, self.folder, _DIGITS, self.held_out, self.num_lines, "reader.num_lines")
        return {
            split: _Lines(
                digits, self.num_lines[split], self.lengths, (height, width), f"{self.seed}/{split}"
            )
            for split, digits in found.items()
        }


class _Lines:
    """Lines made when they are asked for."""

    def __init__(
        self,
        digits: Digits,
        num_lines: int,
        lengths: tuple[int, int],
        size_px: tuple[int, int],
        stream: str,
    ) -> None:
        self.keys = self.places = [str(number) for number in range(num_lines)]
        self.notes: list[str] = []
        self._digits, self._lengths, self._size_px, self._stream = digits, lengths, size_px, stream

    def read(self, numbers: np.ndarray) -> dict[str, list]:
        lines = [self._line(self.keys[number]) for number in numbers]
        return {"image": [image for image, _ in lines], "text": [text for _, text in lines]}

    def _line(self, key: str) -> tuple[np.ndarray, str]:
        rng = generator_of(self._stream, key)
        height, width = self._size_px
        count = int(rng.integers(self._lengths[0], self._lengths[1] + 1))
        chosen = rng.integers(0, len(self._digits.labels), count).tolist()
        written = [scaled(self._digits.images[number], rng.uniform(*_SCALE)) for number in chosen]
        gaps = [0, *rng.integers(*_GAP_PX, count - 1).tolist()]
        needed = sum(digit.shape[1] for digit in written) + sum(gaps)
        left = int(rng.integers(0, width - needed + 1))
        line = np.zeros((height, width))
        for digit, gap in zip(written, gaps, strict=True):
            left += gap
            top = int(rng.integers(0, height - digit.shape[0] + 1))
            place = (slice(top, top + digit.shape[0]), slice(left, left + digit.shape[1]))
            line[place] = np.maximum(line[place], digit * rng.uniform(*_GAIN))
            left += digit.shape[1]
        line += rng.normal(0, rng.uniform(0, _MAX_NOISE), line.shape)
        text = "".join(str(self._digits.labels[number]) for number in chosen)
        return np.clip(np.rint(line), 0, 255).astype(np.uint8)[None], text
