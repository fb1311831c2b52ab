"""Handwritten digits scattered over pages of any size: what a net that learned single digits is to find.

Pages are made when they are asked for. A page of a split holds digits of that split of the digits alone.
"""

from pathlib import Path

import numpy as np

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.formats.split_digits import Digits, scaled, split_digits
from modules.datamodules.samples import Samples
from modules.datamodules.seeded import generator_of

_SCALE = (0.85, 1.15)
_GAIN = (0.7, 1.0)
_MAX_NOISE = 14.0
"""Standard deviation, in levels 0..255."""
_MAX_RULE = 90
"""The level of the lines of a ruled page."""
_RULES_PX = (24, 48)
_AREA_OF_DIGIT = 34 * 34
_NUM_TRIES = 30
_GAP_PX = 2


class DigitPagesReader:
    """Pages with digits that do not touch.

    Args:
        folder: where the digits' files lie beneath the source; see `JsonDigitsReader`.
        held_out: share of the digits of each split but the first, cut as a dataset's `splits` are.
        num_pages: of each split.
        sides_px: smallest and largest height and width.
        seed: of all chance; a page depends on it, its split and its number alone.
    """

    def __init__(
        self,
        folder: str,
        held_out: dict[str, float],
        num_pages: dict[str, int],
        sides_px: list[int],
        seed: int = 0,
    ) -> None:
        self.folder = folder
        self.held_out = held_out
        self.num_pages = num_pages
        self.sides_px = sides_px
        self.seed = seed

    def samples(self, raw: Path, fields: dict[str, FieldSettings]) -> dict[str, Samples]:
        """The splits; a page's key is its number.

        Raises:
            UserError: fields or settings do not fit.
        """
        low, high = self.sides_px
        if not 32 <= low <= high:
            raise UserError(f"reader.sides_px is {self.sides_px}", "Give two sizes, 32 pixels or more")
        if list(fields["image"].shape) != [1, "height", "width"] or fields["labels"].classes is None:
            raise UserError(
                f"fields.image is {fields['image'].shape}",
                "Pages are uint8 [1, height, width], labels have classes",
            )
        found = split_digits(
            raw, self.folder, fields["labels"].classes, self.held_out, self.num_pages, "reader.num_pages"
        )
        return {
            split: _Pages(digits, self.num_pages[split], (low, high), f"{self.seed}/{split}")
            for split, digits in found.items()
        }


class _Pages:
    """Pages made when they are asked for."""

    def __init__(self, digits: Digits, num_pages: int, sides_px: tuple[int, int], stream: str) -> None:
        self.keys = self.places = [str(number) for number in range(num_pages)]
        self.notes: list[str] = []
        self._images, self._labels = digits
        self._sides_px = sides_px
        self._stream = stream

    def read(self, numbers: np.ndarray) -> dict[str, list[np.ndarray]]:
        pages = [self._page(self.keys[number]) for number in numbers]
        return {name: [page[name] for page in pages] for name in ("image", "boxes", "labels")}

    def _page(self, key: str) -> dict[str, np.ndarray]:
        rng = generator_of(self._stream, key)
        height, width = rng.integers(self._sides_px[0], self._sides_px[1] + 1, 2).tolist()
        page = np.zeros((height, width))
        if rng.random() < 0.5:
            step, level = rng.integers(*_RULES_PX), rng.uniform(20, _MAX_RULE)
            page[rng.integers(0, step) :: step] = level
        taken = np.zeros((height, width), bool)
        boxes: list[list[float]] = []
        labels: list[int] = []
        for _ in range(max(1, round(height * width / _AREA_OF_DIGIT * rng.uniform(0.1, 0.7)))):
            number = int(rng.integers(0, len(self._labels)))
            digit = scaled(self._images[number], rng.uniform(*_SCALE))
            for _ in range(_NUM_TRIES):
                y = int(rng.integers(0, height - digit.shape[0] + 1))
                x = int(rng.integers(0, width - digit.shape[1] + 1))
                around = taken[
                    max(0, y - _GAP_PX) : y + digit.shape[0] + _GAP_PX,
                    max(0, x - _GAP_PX) : x + digit.shape[1] + _GAP_PX,
                ]
                if not around.any():
                    break
            else:
                continue  # the page is full
            place = (slice(y, y + digit.shape[0]), slice(x, x + digit.shape[1]))
            taken[place] = True
            page[place] = np.maximum(page[place], digit * rng.uniform(*_GAIN))
            boxes.append([x, y, x + digit.shape[1], y + digit.shape[0]])
            labels.append(int(self._labels[number]))
        page += rng.normal(0, rng.uniform(0, _MAX_NOISE), page.shape)
        return {
            "image": np.clip(np.rint(page), 0, 255).astype(np.uint8)[None],
            "boxes": np.array(boxes, np.float32).reshape(-1, 4),
            "labels": np.array(labels, np.int64),
        }
