"""Fetches shards.json from a mirror: what `modules.configuration.plans.mirrored_index` runs beside it."""

import asyncio
import os
import sys
from pathlib import Path

from modules.configuration.errors import UserError
from modules.datamodules.mirror.object_store import ObjectStore
from modules.datamodules.mirror.patience import PATIENCE


def main(mirror: str, path: str) -> int:
    """Writes it to a path; what is wrong goes to stderr, problem and hint a line each."""
    try:
        Path(path).write_bytes(asyncio.run(ObjectStore(mirror, PATIENCE).read_all("shards.json")))
    except UserError as error:
        print(f"{error.problem}\n{error.hint}", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    os._exit(main(*sys.argv[1:]))  # not waiting for the client's threads, which may fail at the end
