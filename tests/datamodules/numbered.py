"""A dataset of small images that carry their own number, as real idx files."""

import json
from pathlib import Path
from typing import Any, SupportsInt

import numpy as np
from numpy.typing import ArrayLike

from modules.configuration.schema.data_settings import DataSettings
from modules.configuration.schema.settings import read

NUM_CLASSES = 3
FIELDS: dict[str, Any] = {
    "image": {"dtype": "uint8", "shape": [1, 2, 3], "axes": ["channel", "height", "width"], "units": "level"},
    "label": {"dtype": "int64", "shape": [], "axes": [], "units": "class number", "classes": ["a", "b", "c"]},
}


def settings(**changes: Any) -> DataSettings:
    """The dataset `numbered`; `changes` replace its keys."""
    values: dict[str, Any] = {
        "name": "numbered",
        "title": "Numbered images",
        "source": {
            "_target_": "modules.sources.local_folder.LocalFolder",
            "name": "raw",
            "path": ".",
            "licence": "CC0",
        },
        "reader": {
            "_target_": "modules.datamodules.formats.idx.IdxReader",
            "splits": {"train": {"image": "images.idx", "label": "labels.idx"}},
        },
        "fields": FIELDS,
        "splits": {},
        "samples_per_record": 4,
    }
    return read(DataSettings, values | changes)


def image(number: SupportsInt) -> np.ndarray:
    """The image of a sample: its number in its first bytes, 7 in the rest."""
    return np.frombuffer(int(number).to_bytes(4, "little") + b"\7\7", np.uint8).reshape(1, 2, 3)


def write_raw(raw: Path, num_samples: int) -> None:
    """The source's files."""
    raw.mkdir(parents=True, exist_ok=True)
    images = np.stack([image(number)[0] for number in range(num_samples)])
    labels = (np.arange(num_samples) % NUM_CLASSES).astype(np.uint8)
    for name, array in (("images", images), ("labels", labels)):
        header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
        (raw / f"{name}.idx").write_bytes(header + array.tobytes())
    (raw / "source.json").write_text(json.dumps({"name": "raw", "sha256": "0" * 64, "licence": "CC0"}))


def numbers_of(images: ArrayLike) -> list[int]:
    """The numbers that images carry, whatever their leading axes."""
    rows = np.ascontiguousarray(np.asarray(images).reshape(-1, 6))
    assert (rows[:, 4:] == 7).all(), "an image is not whole"
    return rows[:, :4].copy().view("<u4").ravel().tolist()
