"""The process that brings shards into the cache for one that reads them: `python -m` this file with
the path of the tally.

Its input is a line of JSON that says whence and where to, and then a line a request: the shards that are
needed now, and those that will be. It answers each with a line once all that was needed is there; meanwhile
and afterwards it brings what will be needed, as far as the cache has room. At the end of its input it ends.
"""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from modules.configuration.errors import UserError
from modules.datamodules.mirror.cache_folder import CacheFolder
from modules.datamodules.mirror.download import RemoteShard, download
from modules.datamodules.mirror.object_store import ObjectStore
from modules.datamodules.mirror.patience import Patience
from modules.datamodules.mirror.tally import Tally
from modules.sources.cache import sha256_of

_LONGEST_LINE = 2**28


class Fetching:
    """Brings shards into a cache; each once, however many ask for it.

    Args:
        stores: that have them.
        cache: where to.
        patience: with a full cache.
        tally: counts the bytes.
    """

    def __init__(
        self, stores: Sequence[ObjectStore], cache: CacheFolder, patience: Patience, tally: Tally
    ) -> None:
        self._stores = stores
        self._cache = cache
        self._patience = patience
        self._order: list[str] = []
        self._right: dict[str, int] = {}  # the inode of each shard whose hash was seen to be right
        self._coming: dict[str, asyncio.Task[bool]] = {}
        self._ahead: asyncio.Task[None] | None = None
        self._tally = tally

    async def need(self, shards: Sequence[RemoteShard], later: Sequence[RemoteShard]) -> None:
        """Brings shards, and then goes on with those that are needed later.

        Raises:
            UserError: one of the first cannot be had.
        """
        if self._ahead is not None:
            self._ahead.cancel()  # what is on its way goes on
        self._order = list(dict.fromkeys(shard.sha256 for shard in (*shards, *later)))
        for shard in shards:
            while not await self._bring(shard, self._patience.full_s):
                pass  # it was looked for without haste, and there was no room
        self._ahead = asyncio.create_task(self._go_ahead(list(later)))

    async def _go_ahead(self, shards: Sequence[RemoteShard]) -> None:
        for shard in shards:
            try:
                if not await self._bring(shard, None):
                    return
            except UserError:
                return  # who needs it will be told

    async def _bring(self, shard: RemoteShard, patience_s: float | None) -> bool:
        task = self._coming.get(shard.sha256)
        # Waiting for one that is done lets nothing else run, not even what takes it away.
        if task is None or task.done():
            task = asyncio.create_task(self._brought(shard, patience_s))
            self._coming[shard.sha256] = task
            task.add_done_callback(lambda done: self._done(shard.sha256, done))
        return await asyncio.shield(task)

    def _done(self, sha256: str, task: asyncio.Task[bool]) -> None:
        if self._coming.get(sha256) is task:
            del self._coming[sha256]
        if not task.cancelled():
            task.exception()

    async def _brought(self, shard: RemoteShard, patience_s: float | None) -> bool:
        path = self._cache.tar(shard.sha256)
        if await self._is_right(path, shard.sha256):
            return True
        async with self._cache.alone_with(shard.sha256):
            if await self._is_right(path, shard.sha256):
                return True  # another process has brought it
            path.unlink(missing_ok=True)  # the disk has changed it
            partial = await self._cache.take_room(shard, self._order, patience_s)
            if partial is None:
                return False
            try:
                address = await download(self._stores, shard, partial)
                self._cache.keep(partial, shard, address)
            finally:
                partial.unlink(missing_ok=True)
            self._right[shard.sha256] = path.stat().st_ino
            self._tally.add(shard.num_bytes)
            return True

    async def _is_right(self, path: Path, sha256: str) -> bool:
        """Whether a shard is there; each file is looked through once."""
        try:
            inode = path.stat().st_ino
            if self._right.get(sha256) != inode and await asyncio.to_thread(sha256_of, path) == sha256:
                self._right[sha256] = inode
        except FileNotFoundError:
            return False
        return self._right.get(sha256) == inode


async def serve(reader: asyncio.StreamReader, tally: Tally) -> None:
    """Answers requests until there are no more.

    Args:
        reader: of the input.
        tally: counts the bytes that are fetched.
    """
    begin = json.loads(await reader.readline())
    fetching: Fetching | None = None
    while line := await reader.readline():
        request = json.loads(line)
        answer: dict[str, Any] = {}
        try:
            if fetching is None:
                patience = Patience(**begin["patience"])
                cache = CacheFolder(Path(begin["cache"]), begin["max_bytes"])
                stores = [ObjectStore(address, patience) for address in begin["mirrors"]]
                fetching = Fetching(stores, cache, patience, tally)
            await fetching.need(*([RemoteShard(*one) for one in request[key]] for key in ("now", "later")))
        except UserError as error:
            answer = {"problem": error.problem, "hint": error.hint}
        except Exception as error:
            answer = {"problem": f"a shard cannot be brought: {error!r}", "hint": ""}
        if not request["quiet"]:
            print(json.dumps(answer), flush=True)


def beginning(mirrors: Sequence[str], cache: Path, max_bytes: int, patience: Patience) -> str:
    """The first line of input."""
    return json.dumps(
        {"mirrors": mirrors, "cache": str(cache), "max_bytes": max_bytes, "patience": asdict(patience)}
    )


def request(now: Sequence[RemoteShard], later: Sequence[RemoteShard], quiet: bool = False) -> str:
    """A line of input; a quiet one has no answer."""
    rows = ([[one.name, one.sha256, one.num_bytes] for one in some] for some in (now, later))
    return json.dumps(dict(zip(("now", "later"), rows, strict=True)) | {"quiet": quiet})


async def _main() -> None:
    reader = asyncio.StreamReader(_LONGEST_LINE)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    with contextlib.suppress(BrokenPipeError):
        await serve(reader, Tally(Path(sys.argv[1])))
    os._exit(0)  # what is on its way is of no use to anyone


if __name__ == "__main__":
    asyncio.run(_main())
