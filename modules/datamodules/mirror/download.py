"""A shard comes down: parts side by side, hashed as they come."""

import asyncio
import errno
import hashlib
import os
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from modules.configuration.errors import UserError
from modules.configuration.refused_access import access_errors
from modules.datamodules.mirror.object_store import ObjectStore

PART_BYTES = 4 * 2**20
_PARTS_AT_ONCE = 4
_ATTEMPTS = 3
"""Of a file whose parts all came, and which is another than it should be."""


@dataclass(frozen=True)
class RemoteShard:
    """A shard as shards.json describes it.

    Attributes:
        name: of the file.
        sha256: of its content.
        num_bytes: of it.
    """

    name: str
    sha256: str
    num_bytes: int


async def download(stores: Sequence[ObjectStore], shard: RemoteShard, path: Path) -> str:
    """Writes a shard to `path`, from the first store that has it right.

    Args:
        stores: that should have it.
        shard: what is wanted.
        path: file to write, whose room on the disk is taken first.

    Returns:
        The address that it came from.

    Raises:
        UserError: no store has it right, or the disk is full.
    """
    faults = []
    for store in stores:
        for _ in range(_ATTEMPTS):
            try:
                got = await _write(store, shard, path)
            except UserError as error:
                faults.append(error)
                break
            if got == shard.sha256:
                return store.address
        else:
            problem = f"{store.address}/{shard.name} is damaged: expected sha256 {shard.sha256}, got {got}"
            faults.append(UserError(problem, "Upload the shards there again, or look at the network"))
    if len(faults) == 1:
        raise faults[0]
    raise UserError("; ".join(fault.problem for fault in faults), faults[0].hint)


def reserve(path: Path, num_bytes: int) -> None:
    """Makes an empty file and takes its room on the disk.

    Raises:
        UserError: there is not so much.
    """
    with access_errors(path), path.open("wb") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, num_bytes)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                path.unlink()
                raise
            file.truncate(num_bytes)  # a file system that takes no room before it is written


async def _write(store: ObjectStore, shard: RemoteShard, path: Path) -> str:
    digest = hashlib.sha256()
    starts = deque(range(0, shard.num_bytes, PART_BYTES))
    coming: deque[asyncio.Task[memoryview]] = deque()
    try:
        with access_errors(path), path.open("r+b") as file:
            while starts or coming:
                while starts and len(coming) < _PARTS_AT_ONCE:
                    start = starts.popleft()
                    stop = min(start + PART_BYTES, shard.num_bytes)
                    coming.append(asyncio.create_task(store.read(shard.name, start, stop)))
                part = await coming.popleft()
                await asyncio.to_thread(_take_in, file, digest, part)
            file.flush()
            await asyncio.to_thread(os.fsync, file.fileno())
    finally:
        for task in coming:
            task.cancel()
        await asyncio.gather(*coming, return_exceptions=True)
    return digest.hexdigest()


def _take_in(file: BinaryIO, digest: "hashlib._Hash", part: memoryview) -> None:
    file.write(part)
    digest.update(part)
