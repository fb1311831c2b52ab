"""The cache holds no more than it may, keeps what is read, what is needed soon and what no mirror has."""

import asyncio
import fcntl
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from modules.configuration.errors import UserError
from modules.configuration.own_process import own_python
from modules.datamodules.mirror.cache_folder import CacheFolder, Lease
from modules.datamodules.mirror.download import RemoteShard, reserve


def shard(name: str, num_bytes: int = 10) -> RemoteShard:
    return RemoteShard(f"{name}.tar", name, num_bytes)


def bring(cache: CacheFolder, one: RemoteShard, order: str = "", wait_s: float | None = 0.1) -> bool:
    """Whether there was room; the file is then there."""

    async def work() -> bool:
        async with cache.alone_with(one.sha256):
            partial = await cache.take_room(one, list(order), wait_s)
            if partial is not None:
                cache.keep(partial, one, "s3://somewhere")
            return partial is not None

    return asyncio.run(work())


def names(cache: CacheFolder) -> str:
    return "".join(sorted(path.stem for path in cache.folder.glob("*.tar")))


@pytest.fixture
def cache(tmp_path: Path) -> CacheFolder:
    """With room for three, which has a, b and c, used in that order."""
    cache = CacheFolder(tmp_path / "cache", 30)
    for time_s, name in enumerate("abc"):
        assert bring(cache, shard(name))
        os.utime(cache.tar(name), (time_s, time_s))
    return cache


@pytest.mark.parametrize(
    ("order", "left"),
    [("", "bcd"), ("abc", "abd"), ("cba", "bcd"), ("ab", "abd"), ("bdac", "abd"), ("a", "acd")],
)
def test_what_is_needed_last_goes_first(cache: CacheFolder, order: str, left: str) -> None:
    assert bring(cache, shard("d"), order)
    assert names(cache) == left and cache.num_bytes() == 30


@pytest.mark.parametrize(
    ("order", "left"), [("abcd", None), ("abdc", "abd"), ("dabc", "abd"), ("abd", "abd")]
)
def test_what_comes_without_haste_takes_no_room_of_what_is_needed_before(
    cache: CacheFolder, order: str, left: str | None
) -> None:
    assert bring(cache, shard("d"), order, wait_s=None) is (left is not None)
    assert names(cache) == (left or "abc")


def test_what_is_read_stays(cache: CacheFolder) -> None:
    lease = Lease(cache, "a")
    assert lease.take()
    assert bring(cache, shard("d", 20), "bc") and names(cache) == "ad"
    with pytest.raises(UserError, match=r"cache .* is too small: all of it has been read for 0\.1 s\. Raise"):
        bring(cache, shard("e", 25))
    assert names(cache) in ("a", "ad")
    lease.leave()
    assert bring(cache, shard("e", 25)) and names(cache) == "e"
    assert not lease.take()


def test_what_no_mirror_has_stays(cache: CacheFolder) -> None:
    (cache.folder / "a.mirror").unlink()
    assert bring(cache, shard("d", 20)) and names(cache) == "ad"
    with pytest.raises(UserError, match="too small"):
        bring(cache, shard("e", 25))


def test_a_shard_larger_than_the_cache_is_refused(cache: CacheFolder) -> None:
    with pytest.raises(UserError, match=r"too small: e\.tar has 31 bytes\. Raise data\.cache_gib"):
        bring(cache, shard("e", 31))
    assert names(cache) == "abc"


def test_what_a_dead_process_has_begun_makes_room(cache: CacheFolder) -> None:
    cache.tar("a").unlink()
    reserve(cache.folder / "x.partial", 10)
    assert bring(cache, shard("d"), "bc") and names(cache) == "bcd"
    assert not list(cache.folder.glob("*.partial"))


def test_what_a_living_process_has_begun_does_not(cache: CacheFolder) -> None:
    cache.tar("a").unlink()
    reserve(cache.folder / "x.partial", 10)
    descriptor = cache.open_lock("x")
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    assert bring(cache, shard("d"), "bc") and names(cache) == "bd"
    assert (cache.folder / "x.partial").exists()
    os.close(descriptor)


def test_a_lease_of_a_process_that_dies_ends(cache: CacheFolder) -> None:
    code = f"""
from pathlib import Path
from modules.datamodules.mirror.cache_folder import CacheFolder, Lease
lease = Lease(CacheFolder(Path({str(cache.folder)!r}), 30), "a")
print(lease.take(), flush=True)
input()
"""
    _, environment = own_python("x")
    reader = subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with reader:
        assert reader.stdout is not None and reader.stdout.readline() == "True\n"
        assert bring(cache, shard("d"), "cb") and names(cache) == "acd"
        reader.kill()
    assert bring(cache, shard("e", 20), "dc") and names(cache) == "de"


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    cache = CacheFolder(tmp_path / "cache", 2**30)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, before[1]))
    try:
        with pytest.raises(UserError, match=r"can't write .*d\.partial: File too large\. ") as caught:
            bring(cache, shard("d", 2**20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "\n" not in str(caught.value)
    assert not list(cache.folder.glob("*.tar")) and not list(cache.folder.glob("*.partial"))
