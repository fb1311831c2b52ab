"""Downloads go on where they broke off, are used only when their hash is right, and say what is wrong."""

import hashlib
import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from modules.configuration.errors import UserError
from modules.sources.url import Url
from tests.sources.loopback import Site, serve

CONTENT = os.urandom(700_000)


@pytest.fixture
def site() -> Iterator[Site]:
    with serve() as started:
        started.files["/data.bin"] = CONTENT
        yield started


def source(address: str, content: bytes = CONTENT, sha256: str = "") -> Url:
    return Url("numbers", address, sha256 or hashlib.sha256(content).hexdigest(), "CC0")


def fetched(url: Url, tmp_path: Path, name: str = "out") -> Path:
    (tmp_path / name).mkdir()
    url.fetch(tmp_path / "cache", tmp_path / name)
    return tmp_path / name


def test_a_file_is_fetched_once(site: Site, tmp_path: Path) -> None:
    url = source(f"{site.address}/data.bin")
    assert (fetched(url, tmp_path) / "data.bin").read_bytes() == CONTENT
    assert (fetched(url, tmp_path, "again") / "data.bin").read_bytes() == CONTENT
    assert site.requests == [("/data.bin", None)]
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["numbers-data.bin"]


def test_what_broke_off_goes_on(site: Site, tmp_path: Path) -> None:
    site.cut_after = 200_000
    assert (fetched(source(f"{site.address}/data.bin"), tmp_path) / "data.bin").read_bytes() == CONTENT
    asked = [wanted for _, wanted in site.requests]
    assert asked == [None, "bytes=200000-", "bytes=400000-", "bytes=600000-"]


def test_an_interrupted_call_is_continued_by_the_next(site: Site, tmp_path: Path) -> None:
    site.cut_after = 100_000
    with pytest.raises(UserError, match=r"the connection breaks off.*goes on where it stopped"):
        fetched(source(f"{site.address}/data.bin"), tmp_path)
    site.cut_after = None
    assert (
        fetched(source(f"{site.address}/data.bin"), tmp_path, "again") / "data.bin"
    ).read_bytes() == CONTENT
    assert site.requests[-1] == ("/data.bin", "bytes=400000-")


def test_a_server_without_ranges_starts_again(site: Site, tmp_path: Path) -> None:
    site.cut_after, site.ranges = 300_000, False
    with pytest.raises(UserError):
        fetched(source(f"{site.address}/data.bin"), tmp_path)
    site.cut_after = None
    assert (
        fetched(source(f"{site.address}/data.bin"), tmp_path, "again") / "data.bin"
    ).read_bytes() == CONTENT


def test_a_whole_file_that_was_not_yet_moved_is_used(site: Site, tmp_path: Path) -> None:
    (tmp_path / "cache/numbers-data.bin.partial").mkdir(parents=True)
    (tmp_path / "cache/numbers-data.bin.partial/data.bin").write_bytes(CONTENT)
    assert (fetched(source(f"{site.address}/data.bin"), tmp_path) / "data.bin").read_bytes() == CONTENT
    assert site.requests == [("/data.bin", f"bytes={len(CONTENT)}-")]


def test_another_content_is_refused_with_both_hashes(site: Site, tmp_path: Path) -> None:
    got = hashlib.sha256(CONTENT).hexdigest()
    with pytest.raises(UserError, match=rf"expected sha256 {'0' * 64}, got {got}.*write its sha256"):
        fetched(source(f"{site.address}/data.bin", sha256="0" * 64), tmp_path)
    assert list((tmp_path / "out").iterdir()) == [] == list((tmp_path / "cache").iterdir())


def test_a_damaged_cache_is_fixed(site: Site, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/numbers-data.bin").write_bytes(CONTENT[:-1] + b"x")
    assert (fetched(source(f"{site.address}/data.bin"), tmp_path) / "data.bin").read_bytes() == CONTENT
    assert len(site.requests) == 1


def test_a_stale_part_of_another_file_is_thrown_away(site: Site, tmp_path: Path) -> None:
    part = tmp_path / "cache/numbers-data.bin.partial"
    part.mkdir(parents=True)
    (part / "data.bin").write_bytes(b"of another file")
    with pytest.raises(UserError, match="expected sha256"):
        fetched(source(f"{site.address}/data.bin"), tmp_path)
    assert (
        fetched(source(f"{site.address}/data.bin"), tmp_path, "again") / "data.bin"
    ).read_bytes() == CONTENT


def test_a_missing_file_is_one_line(site: Site, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"can't be fetched .*404"):
        fetched(source(f"{site.address}/other.bin"), tmp_path)
    assert len(site.requests) == 1


def test_nobody_answers(tmp_path: Path) -> None:
    with serve() as closed:
        address = closed.address
    with pytest.raises(UserError, match=r"can't be fetched .*refused"):
        fetched(source(f"{address}/data.bin"), tmp_path)


def test_a_file_of_this_machine(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "some.tar.gz", "w:gz") as tar:
        info = tarfile.TarInfo("inside/a.txt")
        info.size = 1
        tar.addfile(info, io.BytesIO(b"A"))
    archive = tmp_path / "some.tar.gz"
    out = fetched(source(archive.as_uri(), archive.read_bytes()), tmp_path)
    assert (out / "inside/a.txt").read_text() == "A"
    with pytest.raises(UserError, match=r"can't be fetched .*No such file"):
        fetched(source((tmp_path / "none.bin").as_uri()), tmp_path, "again")


@pytest.mark.parametrize(
    "address",
    ["ftp://x/y", "data.bin", "https://x", "https://x/", "https://x/..", "https://x/%2e%2e", "https://x/a%2fb%0a",
     "javascript:alert(1)", "https://x/-o"],
)  # fmt: skip
def test_addresses_without_a_plain_name_are_refused(address: str) -> None:
    with pytest.raises(UserError, match=r"no https, http or file|is no plain name"):
        source(address)
