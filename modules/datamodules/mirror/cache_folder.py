"""Shards of mirrors on this machine's disk: named by their sha256, no more than so many bytes of them.

Processes of a machine share the folder. Each shard has a lock file: who reads a shard holds it shared, who
brings or evicts it holds it alone, so that nothing is fetched twice and nothing in use is evicted. The system
frees the locks of whoever dies. A shard is renamed to its name once it is whole, and the file beside it says
which mirror has it; what no mirror is known to have is never evicted.
"""

import asyncio
import fcntl
import os
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from modules.configuration.errors import UserError
from modules.configuration.refused_access import access_errors
from modules.datamodules.mirror.download import RemoteShard, reserve

_LOOK_EVERY_S = 0.02


class CacheFolder:
    """
    Args:
        folder: made where it is not there.
        max_bytes: of all shards in it, those that are on their way included.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        with access_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)

    def tar(self, sha256: str) -> Path:
        """Where a shard lies once it is whole."""
        return self.folder / f"{sha256}.tar"

    def open_lock(self, sha256: str) -> int:
        """A descriptor of a shard's lock file."""
        with access_errors(self.folder):
            return os.open(self.folder / f"{sha256}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)

    @asynccontextmanager
    async def alone_with(self, sha256: str) -> AsyncIterator[None]:
        """Holds a shard's lock alone; waits for whoever reads or brings it."""
        descriptor = self.open_lock(sha256)
        try:
            while not _locked(descriptor, fcntl.LOCK_EX):
                await asyncio.sleep(_LOOK_EVERY_S)
            yield
        finally:
            os.close(descriptor)

    async def take_room(
        self, shard: RemoteShard, order: Sequence[str], patience_s: float | None
    ) -> Path | None:
        """Takes the room that a shard needs, evicting others.

        Args:
            shard: whose lock the caller holds alone.
            order: the sha256 of shards in the order in which they will be needed; others are evicted first.
            patience_s: how long to wait for shards that are read; None evicts only what is needed later than
                this one, and does not wait.

        Returns:
            The file to write; None where there is no room without waiting.

        Raises:
            UserError: there is none.
        """
        if shard.num_bytes > self.max_bytes:
            raise self._too_small(f"{shard.name} has {shard.num_bytes:,} bytes")
        partial = self.folder / f"{shard.sha256}.partial"
        places = {sha256: place for place, sha256 in enumerate(order)}
        spared = -1 if patience_s is not None else places.get(shard.sha256, len(order))
        until_s = time.monotonic() + (patience_s or 0)
        while True:
            with self._folder_lock():
                partial.unlink(missing_ok=True)
                if self._evict(self.max_bytes - shard.num_bytes, shard.sha256, places, spared):
                    reserve(partial, shard.num_bytes)
                    return partial
            if patience_s is None:
                return None
            if time.monotonic() > until_s:
                raise self._too_small(f"all of it has been read for {patience_s:g} s")
            await asyncio.sleep(_LOOK_EVERY_S)

    def keep(self, partial: Path, shard: RemoteShard, mirror: str) -> None:
        """Gives a shard that is whole its name."""
        with access_errors(self.folder):
            (self.folder / f"{shard.sha256}.mirror").write_text(mirror)
            partial.rename(self.tar(shard.sha256))
            descriptor = os.open(self.folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def num_bytes(self) -> int:
        """Of all shards, those on their way included."""
        return sum(size for _, size, _ in self._files(".tar")) + sum(s for _, s, _ in self._files(".partial"))

    def _evict(self, max_bytes: int, wanted: str, places: dict[str, int], spared: int) -> bool:
        """Makes the folder as small as that, if what may be evicted suffices."""
        excess = self.num_bytes() - max_bytes
        if excess <= 0:
            return True
        for sha256, size, _ in list(self._files(".partial")):
            if sha256 != wanted and self._remove(sha256, ".partial"):  # whoever brought it has died
                excess -= size
        known = [file for file in self._files(".tar") if (self.folder / f"{file[0]}.mirror").is_file()]
        later = [file for file in known if places.get(file[0], spared + 1) > spared]
        # First what nobody is known to need, the longest unused before others; then what is needed last.
        later.sort(key=lambda file: (file[0] in places, -places.get(file[0], 0), file[2]))
        if excess > sum(size for _, size, _ in later):
            return False
        for sha256, size, _ in later:
            if excess > 0 and self._remove(sha256, ".tar"):
                excess -= size
        return excess <= 0

    def _remove(self, sha256: str, ending: str) -> bool:
        descriptor = self.open_lock(sha256)
        try:
            if not _locked(descriptor, fcntl.LOCK_EX):
                return False
            (self.folder / f"{sha256}{ending}").unlink(missing_ok=True)
            return True
        finally:
            os.close(descriptor)

    def _files(self, ending: str) -> Iterator[tuple[str, int, float]]:
        """Name, size and time of last use of each file with that ending."""
        with os.scandir(self.folder) as entries:
            for entry in entries:
                if entry.name.endswith(ending):
                    with suppress(FileNotFoundError):
                        status = entry.stat()
                        yield entry.name.removesuffix(ending), status.st_size, status.st_mtime

    @contextmanager
    def _folder_lock(self) -> Iterator[None]:
        """Held for moments: who looks for room does it alone."""
        descriptor = self.open_lock("folder")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _too_small(self, why: str) -> UserError:
        size = f"{self.max_bytes / 2**30:.3g} GiB"
        return UserError(
            f"the cache {self.folder} of {size} is too small: {why}",
            "Raise data.cache_gib, or lower trainer.order.window_shards",
        )


def _locked(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class Lease:
    """Keeps a shard of the cache from being evicted while it is read.

    Args:
        cache: where it lies.
        sha256: of the shard.
    """

    def __init__(self, cache: CacheFolder, sha256: str) -> None:
        self._descriptor = cache.open_lock(sha256)
        self._path = cache.tar(sha256)

    def take(self) -> bool:
        """Whether the shard is there, and stays there until `leave`."""
        if not _locked(self._descriptor, fcntl.LOCK_SH):
            return False
        try:
            os.utime(self._path)
        except FileNotFoundError:
            self.leave()
            return False
        return True

    def leave(self) -> None:
        """The shard may be evicted."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def __del__(self) -> None:
        with suppress(AttributeError):  # it was never opened
            os.close(self._descriptor)  # a process that was forked meanwhile keeps its copy
