"""Datasets that a worker opens once for all its trials."""

import functools
import hashlib
import json
from pathlib import Path

from modules.configuration.plans.run_plan import Plan
from modules.configuration.regular_file import read_regular
from modules.configuration.schema.data_settings import DataSettings
from modules.configuration.schema.settings import read
from modules.datamodules.shard_set import ShardSet


def open_shards(folder: Path, plan: Plan) -> ShardSet:
    """A dataset that this process checks and maps once, however many trials read it.

    Raises:
        UserError: it is missing, damaged, or another than the plan's.
    """
    try:
        digest = hashlib.sha256(read_regular(folder / "shards.json", links=True)).hexdigest()
    except OSError:
        digest = ""
    return _opened(folder, digest, json.dumps(plan.configuration["data"], sort_keys=True))


@functools.lru_cache(maxsize=4)
def _opened(folder: Path, digest: str, data: str) -> ShardSet:
    """Another digest is another dataset: the shards have been written again."""
    return ShardSet.open(folder, read(DataSettings, json.loads(data), "data"))
