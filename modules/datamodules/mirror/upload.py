"""Shards go up into a mirror: the files first, shards.json last, and each is read back and hashed.

What is there and right is not sent again. A mirror that holds other shards loses its shards.json first:
whoever looks meanwhile finds no set, never a half one.
"""

import asyncio
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from modules.configuration.errors import UserError
from modules.configuration.regular_file import read_regular_text
from modules.configuration.schema.mirror_address import check_address
from modules.datamodules.mirror.download import PART_BYTES
from modules.datamodules.mirror.object_store import ObjectStore
from modules.datamodules.mirror.patience import PATIENCE
from modules.datamodules.shard_file import Shard
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.shard_writer import index_text
from modules.sources.cache import sha256_of

INDEX_FILE = "shards.json"
_FILES_AT_ONCE = 4


@dataclass(frozen=True)
class Uploaded:
    """
    Attributes:
        num_shards: that the mirror holds now.
        num_sent: of them, those that were sent.
        num_bytes: of those.
    """

    num_shards: int
    num_sent: int
    num_bytes: int


def upload(
    folder: Path, address: str, progress: Callable[[int, int], None] = lambda done, total: None
) -> Uploaded:
    """Brings the shards of a folder into a mirror.

    Args:
        folder: of the dataset.
        address: s3://bucket/prefix, gs://, az://, or a folder.
        progress: told how many shards of how many are there.

    Raises:
        UserError: the shards are damaged, or the mirror does not take them or give them back.
    """
    check_address("upload", address)
    if address.startswith(("http://", "https://")):
        raise UserError(
            f"{address} is a web server, which takes no files", "Give s3://, gs://, az:// or a folder"
        )
    splits = ShardSet.open(folder).splits.values()
    shards = [shard for split in splits for shard in split.shards]
    store = ObjectStore(address, PATIENCE, make=True)
    index = _index(folder, store.address)
    return asyncio.run(_upload(store, shards, index, progress))


def _index(folder: Path, address: str) -> bytes:
    """shards.json as the mirror holds it: it says where it lies itself."""
    described = json.loads(read_regular_text(folder / INDEX_FILE, links=True))
    mirrors = [*described.get("mirrors", []), address]
    return index_text(described | {"mirrors": list(dict.fromkeys(mirrors))}).encode()


async def _upload(
    store: ObjectStore, shards: list[Shard], index: bytes, progress: Callable[[int, int], None]
) -> Uploaded:
    there = await store.read_all(INDEX_FILE) if await store.size(INDEX_FILE) is not None else None
    if there not in (None, index):
        await store.delete(INDEX_FILE)
    gate, sent = asyncio.Semaphore(_FILES_AT_ONCE), []
    done = 0

    async def one(shard: Shard) -> None:
        nonlocal done
        async with gate:
            if not await _is_there(store, shard):
                await _send(store, shard)
                sent.append(shard)
            done += 1
            progress(done, len(shards))

    tasks = [asyncio.create_task(one(shard)) for shard in shards]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
    if there != index or sent:
        await store.write(INDEX_FILE, index)
        if await store.read_all(INDEX_FILE) != index:
            raise UserError(f"{store.address}/{INDEX_FILE} is another than was sent", "Upload again")
    return Uploaded(len(shards), len(sent), sum(shard.num_bytes for shard in sent))


async def _is_there(store: ObjectStore, shard: Shard) -> bool:
    """Whether the mirror holds a shard, by its content."""
    name = shard.path.name
    if await store.size(name) != shard.num_bytes:
        return False
    digest = hashlib.sha256()
    for start in range(0, shard.num_bytes, PART_BYTES):
        digest.update(await store.read(name, start, min(start + PART_BYTES, shard.num_bytes)))
    return digest.hexdigest() == shard.sha256


async def _send(store: ObjectStore, shard: Shard) -> None:
    try:
        right = await asyncio.to_thread(sha256_of, shard.path) == shard.sha256
    except FileNotFoundError:
        right = False
    if not right:
        again = f"Make the shards again: python -m pipelines.shard dataset={shard.path.parent.name}"
        raise UserError(f"{shard.path} is missing or damaged, and is not sent", again)
    await store.write(shard.path.name, shard.path)
    if not await _is_there(store, shard):
        raise UserError(f"{store.address}/{shard.path.name} is another than was sent", "Upload again")
