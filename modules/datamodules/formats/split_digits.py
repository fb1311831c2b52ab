"""The handwritten digits of each split, for what is made of many of them: pages, lines."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings, SplitSettings
from modules.datamodules.formats.json_digits import JsonDigitsReader
from modules.datamodules.shard_writer import split_samples

_INK = 64
"""The level from which a pixel belongs to a digit."""
_ORIGIN = "train"


class Digits(NamedTuple):
    """Those of one split: uint8 [digits, 28, 28], and the number that each is."""

    images: np.ndarray
    labels: np.ndarray


def split_digits(
    raw: Path,
    folder: str,
    classes: Sequence[str],
    held_out: Mapping[str, float],
    wanted: Mapping[str, int],
    key: str,
) -> dict[str, Digits]:
    """The digits of each split: those of the test are met nowhere else.

    Args:
        raw: the folder of the source.
        folder: beneath it, where the digits' files lie; see `JsonDigitsReader`.
        classes: names of the digits.
        held_out: share of the digits of each split but the first, cut as a dataset's `splits` are.
        wanted: how many samples each split is to have.
        key: what of the reader says so, for messages.

    Raises:
        UserError: other splits are wanted than there are.
    """
    one = {
        "image": FieldSettings("uint8", [1, 28, 28], ["channel", "height", "width"], "level"),
        "label": FieldSettings("int64", [], [], "class number", list(classes)),
    }
    found = JsonDigitsReader(folder, _ORIGIN).samples(raw, one)
    cuts = {name: SplitSettings(_ORIGIN, share) for name, share in held_out.items()}
    chosen = split_samples(found, cuts)
    if set(wanted) != set(chosen):
        raise UserError(f"{key} names {sorted(wanted)}", f"Give each of {', '.join(chosen)} a number")
    digits = {split: found[_ORIGIN].read(numbers) for split, (_, numbers) in chosen.items()}
    return {split: Digits(read["image"][:, 0], read["label"]) for split, read in digits.items()}


def scaled(digit: np.ndarray, factor: float) -> np.ndarray:
    """A digit without its margins, at another size."""
    rows, columns = (np.flatnonzero((digit >= _INK).any(axis)) for axis in (1, 0))
    tight = digit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    size = [max(2, round(side * factor)) for side in reversed(tight.shape)]
    return np.asarray(Image.fromarray(tight).resize((size[0], size[1]), Image.Resampling.BILINEAR), float)
