"""A made-up dataset of every ragged kind, written by the real writer."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from modules.configuration.schema.data_settings import DataSettings
from modules.datamodules.samples import ArraySamples
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.shard_writer import write_shards
from tests.datamodules.numbered import settings

FIELDS: dict[str, Any] = {
    "sound": {
        "dtype": "float32",
        "shape": ["time"],
        "axes": ["time"],
        "units": "-1..1",
        "sample_rate_hz": 8000,
    },
    "image": {
        "dtype": "uint8",
        "shape": [3, "height", "width"],
        "axes": ["channel", "height", "width"],
        "units": "level",
    },
    "mask": {
        "dtype": "bool",
        "shape": ["height", "width"],
        "axes": ["height", "width"],
        "units": "inside",
        "mask_of": "image",
    },
    "boxes": {
        "dtype": "float32",
        "shape": ["boxes", 4],
        "axes": ["box", "edge"],
        "units": "px",
        "boxes_of": "image",
    },
    "kinds": {
        "dtype": "int64",
        "shape": ["boxes"],
        "axes": ["box"],
        "units": "class",
        "classes": ["a", "b"],
    },
    "clip": {
        "dtype": "uint8",
        "shape": ["frames", 1, 2, 2],
        "axes": ["frame", "channel", "height", "width"],
        "units": "level",
    },
    "label": {"dtype": "int64", "shape": [], "axes": [], "units": "class", "classes": ["a", "b", "c"]},
}
TYPICAL = {"time": 50, "height": 5, "width": 6, "boxes": 2, "frames": 3}


def sample(number: int) -> dict[str, np.ndarray]:
    """The sample of this number: sizes and values both tell it."""
    rng = np.random.default_rng(number)
    height, width = 3 + number % 4, 2 + number % 5
    boxes = np.sort(rng.uniform(0, 1, (number % 3, 2, 2)), axis=1).reshape(-1, 4) * ([width, height] * 2)
    return {
        "sound": rng.normal(size=5 + number * 7 % 31).astype(np.float32),
        "image": rng.integers(0, 256, (3, height, width), np.uint8),
        "mask": rng.integers(0, 2, (height, width)).astype(bool),
        "boxes": boxes.astype(np.float32),
        "kinds": np.arange(number % 3) % 2,
        "clip": rng.integers(0, 256, (1 + number % 4, 1, 2, 2), np.uint8),
        "label": np.array(number % 3),
    }


class MadeReader:
    """Gives `sample`; `changed` replaces fields of the sample with a number."""

    def __init__(self, num_samples: int, changed: dict[int, dict[str, np.ndarray]] | None = None) -> None:
        self.rows = [sample(number) | (changed or {}).get(number, {}) for number in range(num_samples)]

    def samples(self, raw: Path, fields: dict[str, Any]) -> dict[str, ArraySamples]:
        columns = {name: [row[name] for row in self.rows] for name in fields}
        keys = [str(number) for number in range(len(self.rows))]
        labels = {"label": np.array(columns["label"])} if "label" in columns else {}
        return {"train": ArraySamples(keys, columns | labels)}


def ragged_settings(*names: str, **changes: Any) -> DataSettings:
    """Settings with these fields, or all."""
    fields = {name: FIELDS[name] for name in names or FIELDS}
    symbols = {size for field in fields.values() for size in field["shape"] if isinstance(size, str)}
    typical = {symbol: TYPICAL[symbol] for symbol in symbols}
    return settings(**{"fields": fields, "typical_sizes": typical} | changes)


def write_text(folder: Path, texts: list[str], vocabulary: dict[str, Any], **changes: Any) -> ShardSet:
    """Shards of a field `text`, one document a line, in `folder`."""
    raw = folder / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    (raw / "texts.txt").write_text("\n".join(texts), encoding="utf-8")
    (raw / "source.json").write_text(json.dumps({"name": "raw", "sha256": "0" * 64, "licence": "CC0"}))
    field = {
        "dtype": "int64",
        "shape": ["time"],
        "axes": ["time"],
        "units": "token",
        "vocabulary": vocabulary,
    }
    reader = {"_target_": "modules.datamodules.formats.text_files.TextFilesReader", "by_line": True}
    data = settings(**{"fields": {"text": field}, "typical_sizes": {"time": 20}, "reader": reader} | changes)
    write_shards(data, raw, folder / "texts")
    return ShardSet.open(folder / "texts", data)
