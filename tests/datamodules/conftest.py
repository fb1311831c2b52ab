"""Real shards of numbered images, made once for all tests of a worker."""

from collections.abc import Callable
from pathlib import Path

import pytest

from modules.datamodules.shard_set import ShardSet
from modules.datamodules.shard_writer import write_shards
from tests.datamodules.numbered import FIELDS, settings, write_raw


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., ShardSet]:
    """Makes the shards of so many samples; the same ones are made once."""
    made: dict[tuple[int, int, int], Path] = {}

    def make(num_samples: int, samples_per_record: int = 4, max_shard_bytes: int = 2**20) -> ShardSet:
        key = (num_samples, samples_per_record, max_shard_bytes)
        if key not in made:
            folder = tmp_path_factory.mktemp("shards")
            write_raw(folder / "raw", num_samples)
            label = FIELDS["label"] | {
                "classes": FIELDS["label"]["classes"][:num_samples]
            }  # each has a sample
            data = settings(samples_per_record=samples_per_record, fields=FIELDS | {"label": label})
            write_shards(data, folder / "raw", folder / "numbered", max_shard_bytes=max_shard_bytes)
            made[key] = folder / "numbered"
        return ShardSet.open(made[key])

    return make
