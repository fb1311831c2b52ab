"""Where the shards of a set are had from that are not in its folder: mirrors, and a cache on this machine.

A process that reads has a process beside it that fetches (`fetch_process`), started when a shard is missing
for the first time. A process that is forked, such as a loader's worker, has one of its own.
"""

import json
import os
import subprocess
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from modules.configuration.errors import UserError
from modules.configuration.own_process import own_python
from modules.configuration.schema.data_settings import DataSettings
from modules.datamodules.mirror import patience
from modules.datamodules.mirror.cache_folder import CacheFolder, Lease
from modules.datamodules.mirror.download import RemoteShard
from modules.datamodules.mirror.fetch_process import beginning, request
from modules.datamodules.mirror.patience import Patience
from modules.datamodules.mirror.tally import Tally
from modules.datamodules.shard_file import Shard
from modules.sources.cache import sha256_of

_inherited: list[Any] = []
"""What belongs to the process that this one was forked from: neither used nor cleaned up here."""


class ShardMirror:
    """
    Args:
        mirrors: addresses, the one to ask first before the others.
        cache: folder of the shards that were fetched.
        max_bytes: of them.
        patience: with the mirrors.
        tally: of what is fetched, where another process counts too.
    """

    def __init__(
        self,
        mirrors: Sequence[str],
        cache: Path,
        max_bytes: int,
        patience: Patience,
        tally: Tally | None = None,
    ) -> None:
        self.mirrors = tuple(mirrors)
        self.cache = cache
        self.max_bytes = max_bytes
        self.patience = patience
        self._processes: dict[int, _FetchProcess] = {}
        self._tally = tally or Tally()

    @classmethod
    def of(cls, data: DataSettings, folder: Path, others: Sequence[str]) -> "ShardMirror":
        """The mirror that a dataset's settings name.

        Args:
            data: with `mirror`.
            folder: of the dataset's shards.
            others: addresses that shards.json names.
        """
        assert data.mirror is not None
        cache = folder.parent.parent / "cache" / "shards" if data.cache_dir is None else Path(data.cache_dir)
        mirrors = tuple(dict.fromkeys([data.mirror, *others]))
        return cls(mirrors, cache.absolute(), int(data.cache_gib * 2**30), patience.PATIENCE)

    @property
    def bytes_fetched(self) -> int:
        """By this process and the workers of its loaders."""
        return self._tally.total()

    def bring(self, shard: Shard, later: Sequence[Shard]) -> None:
        """Brings a shard into the cache, and lets those come that are needed later.

        Raises:
            UserError: it cannot be had.
        """
        try:
            self._own_process().ask(request(_remote([shard]), _remote(later)))
        except BrokenPipeError:
            self.close()
            raise UserError("the process that fetches shards has died", "The same command goes on") from None

    def has_right(self, shard: Shard) -> bool:
        """Whether the cache's copy of a shard, which the caller holds there, is right; a wrong one goes."""
        path = self.folder().tar(shard.sha256)
        right = sha256_of(path) == shard.sha256
        if not right:
            path.unlink(missing_ok=True)  # the disk has changed it
        return right

    def tell(self, shard: Shard, later: Sequence[Shard]) -> None:
        """Lets those shards come that are needed after one that is here already; waits for nothing."""
        with suppress(BrokenPipeError):  # whoever needs a shard next finds out
            self._own_process().tell(request([], _remote([shard, *later]), quiet=True))

    def _own_process(self) -> "_FetchProcess":
        if os.getpid() not in self._processes:
            _inherited.extend(self._processes.values())
            self._processes.clear()
            begin = beginning(self.mirrors, self.cache, self.max_bytes, self.patience)
            self._processes[os.getpid()] = _FetchProcess(begin, self._tally)
        return self._processes[os.getpid()]

    @property
    def process_id(self) -> int | None:
        """Of the process that fetches for this one; None where nothing was missing yet."""
        process = self._processes.get(os.getpid())
        return process.pid if process is not None else None

    def close(self) -> None:
        """Ends the process that fetches for this one; what is missing next starts another."""
        if process := self._processes.pop(os.getpid(), None):
            process.close()

    @contextmanager
    def leases(self, leases: Sequence[Lease]) -> Iterator[list[bool]]:
        """Holds leases; says which of them were to be had."""
        taken = [lease.take() for lease in leases]
        try:
            yield taken
        finally:
            for lease, mine in zip(leases, taken, strict=True):
                if mine:
                    lease.leave()

    def folder(self) -> CacheFolder:
        """The cache."""
        return CacheFolder(self.cache, self.max_bytes)

    def __reduce__(self) -> tuple[Any, ...]:
        return ShardMirror, (self.mirrors, self.cache, self.max_bytes, self.patience, self._tally)


class _FetchProcess:
    """A running `fetch_process`.

    Args:
        begin: its first line of input.
        tally: of what it fetches.
    """

    def __init__(self, begin: str, tally: Tally) -> None:
        module = "modules.datamodules.mirror.fetch_process"
        command, environment = own_python(module, str(tally.path))
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
            start_new_session=True,  # Ctrl-C is for this process alone
        )
        self.pid = self._process.pid
        self._finalizer = weakref.finalize(self, _end, self._process, os.getpid())
        self._write(begin)

    def ask(self, line: str) -> None:
        """Waits until a request has been answered.

        Raises:
            UserError: it cannot be fulfilled.
            BrokenPipeError: the process has died.
        """
        assert self._process.stdout is not None
        self._write(line)
        answer = self._process.stdout.readline()
        if not answer:
            raise BrokenPipeError
        found = json.loads(answer)
        if "problem" in found:
            raise UserError(found["problem"], found["hint"])

    def tell(self, line: str) -> None:
        """Hands a request over that has no answer.

        Raises:
            BrokenPipeError: the process has died.
        """
        self._write(line)

    def close(self) -> None:
        """Ends it."""
        self._finalizer()

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()


def _end(process: subprocess.Popen[str], owner: int) -> None:
    if os.getpid() != owner:
        return
    process.kill()  # what it has begun is of no use; nothing half-written has a shard's name
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(BrokenPipeError):
                stream.close()


def _remote(shards: Sequence[Shard]) -> list[RemoteShard]:
    return [RemoteShard(shard.path.name, shard.sha256, shard.num_bytes) for shard in shards]
