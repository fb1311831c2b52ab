"""shards.json of a dataset whose shards lie in a mirror: the one file of it that every run needs here; and
whether the cache has room for what training reads at once. Imports no torch."""

import json
import math
import os
import subprocess
from pathlib import Path
from typing import Any

from modules.configuration.errors import ConfigError, UserError
from modules.configuration.own_process import own_python
from modules.configuration.refused_access import access_errors
from modules.configuration.regular_file import read_regular_text

_POOL_BATCHES = 64
"""Batches that a bucketed order sorts at once, as in `modules.datamodules.bucketed_order`."""


def bring_index(mirror: str, path: Path) -> None:
    """Fetches shards.json where it is not there.

    Args:
        mirror: an address.
        path: where it belongs.

    Raises:
        UserError: it cannot be had.
    """
    if path.is_file():
        return
    with access_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".shards.json.{os.getpid()}.partial")
        # The client's threads would not survive a fork of this process.
        command, environment = own_python("modules.datamodules.mirror.fetch_index", mirror, str(partial))
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        if done.returncode:
            partial.unlink(missing_ok=True)
            problem, _, hint = done.stderr.strip().partition("\n")
            raise UserError(problem or f"{mirror}/shards.json cannot be fetched", hint)
        partial.replace(path)


def check_cache_room(config: dict[str, Any], folder: Path | None = None) -> None:
    """Refuses a cache that has no room for two windows of shards, where shards.json is there to say it.

    Args:
        config: a whole configuration.
        folder: of its dataset's shards; by default data/shards/<dataset>.

    Raises:
        ConfigError: the cache is too small.
    """
    data, trainer = config["data"], config["trainer"]
    path = folder or Path(config["runtime"]["storage"]) / "data" / "shards" / data["name"]
    if data.get("mirror") is None or not (path / "shards.json").is_file():
        return
    try:
        train = json.loads(read_regular_text(path / "shards.json", links=True))["splits"]["train"]["shards"]
        shards = [(shard["num_bytes"], shard["num_samples"], shard["path"]) for shard in train]
    except (ValueError, KeyError, TypeError):
        return  # who opens the set says what is wrong
    if all((path / name).is_file() for *_, name in shards):
        return
    order = trainer["order"]
    window = order.get("window_shards") or len(shards)
    batches = trainer["block_steps"] + (_POOL_BATCHES if order["kind"] == "bucketed" else 0)
    in_window = sum(sorted(num_samples for _, num_samples, _ in shards)[:window])
    num_windows = max(2, 1 + math.ceil(batches * trainer["batch_size"] / in_window))
    sizes = sorted((num_bytes for num_bytes, *_ in shards), reverse=True)
    needed_gib = sum(sizes[: num_windows * window]) / 2**30
    cache_gib = data.get("cache_gib", math.inf)
    if cache_gib < needed_gib:
        windows = f"{num_windows} windows of {window} shards" if num_windows * window < len(shards) else "all"
        raise ConfigError(
            "data.cache_gib",
            f"{cache_gib:g} GiB, and training reads {windows} of {len(shards)} shards at a time,"
            f" {needed_gib:.3g} GiB",
            "Raise it, or set trainer.order.window_shards lower",
        )
