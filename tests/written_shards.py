"""Samples from memory as real shards."""

from pathlib import Path
from typing import Any
from unittest import mock

from modules.configuration.schema.data_settings import DataSettings
from modules.datamodules.samples import ArraySamples
from modules.datamodules.shard_writer import write_shards


class _Reader:
    def __init__(self, found: dict[str, ArraySamples]) -> None:
        self.found = found

    def samples(self, raw: Path, fields: dict[str, Any]) -> dict[str, ArraySamples]:
        return self.found


def write_samples(found: dict[str, ArraySamples], data: DataSettings, out: Path) -> None:
    """Writes the splits as if the dataset's reader had read them of its source."""
    with (
        mock.patch("modules.datamodules.shard_writer.build", lambda node: _Reader(found)),
        mock.patch("modules.datamodules.shard_writer._read_source", lambda raw, data: {"licence": "CC0"}),
    ):
        write_shards(data, out.parent / "raw", out)
