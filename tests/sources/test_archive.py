"""Archives are unpacked into their folder and nowhere else."""

import io
import os
import random
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from modules.configuration.errors import UserError
from modules.sources.archive import unpack


def tar_of(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    mode = {".gz": "w:gz", ".xz": "w:xz", ".bz2": "w:bz2", ".tgz": "w:gz", ".tar": "w"}[path.suffix]
    with tarfile.open(path, mode) as tar:  # pyright: ignore[reportCallIssue, reportArgumentType]
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def file(name: str, content: bytes = b"content") -> tuple[tarfile.TarInfo, bytes]:
    return tarfile.TarInfo(name), content


def special(name: str, kind: bytes, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


def debian_of(path: Path, data: Path) -> Path:
    """A Debian package put together as `man 5 deb` says, so that it can hold what dpkg-deb wouldn't pack."""
    content = b"!<arch>\n"
    for name, member in (
        ("debian-binary", b"2.0\n"),
        ("control.tar.gz", b"odd"),
        (data.name, data.read_bytes()),
    ):
        content += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(member):<10}`\n".encode() + member
        content += b"\n" * (len(member) % 2)
    path.write_bytes(content)
    return path


def everything(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz", "x.tgz", "x.tar.xz", "x.tar.bz2"])
def test_every_compression(tmp_path: Path, name: str) -> None:
    archive = tar_of(
        tmp_path / name, special("./a", tarfile.DIRTYPE), file("./a/b.txt", b"B"), file("c", b"C")
    )
    (tmp_path / "out").mkdir()
    unpack(archive, tmp_path / "out")
    assert (tmp_path / "out/a/b.txt").read_bytes() == b"B" and (tmp_path / "out/c").read_bytes() == b"C"


@pytest.mark.parametrize("name", ["data.tar.gz", "data.tar.xz", "data.tar.bz2", "data.tar"])
def test_a_debian_package_in_every_compression(tmp_path: Path, name: str) -> None:
    archive = debian_of(tmp_path / "x.deb", tar_of(tmp_path / name, file("./usr/share/x", b"X")))
    (tmp_path / "out").mkdir()
    unpack(archive, tmp_path / "out")
    assert (tmp_path / "out/usr/share/x").read_bytes() == b"X"


def test_of_a_debian_package_one_folder_is_enough(tmp_path: Path) -> None:
    inner = tar_of(
        tmp_path / "data.tar.gz",
        file("./usr/share/a/one.txt", b"1"),
        file("./usr/share/ab/two.txt", b"2"),
        special("./usr/share/link", tarfile.SYMTYPE, "of/another/package"),
    )
    package = debian_of(tmp_path / "x.deb", inner)
    for name in ("all", "some", "none"):
        (tmp_path / name).mkdir()
    with pytest.raises(UserError, match="no file of its own"):
        unpack(package, tmp_path / "all")
    unpack(package, tmp_path / "some", beneath="usr/share/a")
    assert [path.name for path in everything(tmp_path / "some") if path.is_file()] == ["one.txt"]
    with pytest.raises(UserError, match="holds nothing beneath 'usr/lib'"):
        unpack(package, tmp_path / "none", beneath="usr/lib")


@pytest.mark.parametrize("compression", ["xz", "gzip", "zstd"])
def test_what_dpkg_deb_packs(tmp_path: Path, compression: str) -> None:
    (tmp_path / "tree/DEBIAN").mkdir(parents=True)
    (tmp_path / "tree/DEBIAN/control").write_text(
        "Package: x\nVersion: 1\nArchitecture: all\nMaintainer: X <x@example.org>\nDescription: x\n"
    )
    (tmp_path / "tree/data").write_bytes(os.urandom(5000))
    (tmp_path / "tree/link").symlink_to("data")
    command = ["dpkg-deb", "--root-owner-group", f"-Z{compression}", "--build", "tree", "x.deb"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "out").mkdir()
    unpack(tmp_path / "x.deb", tmp_path / "out")
    for name in ("data", "link"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "tree/data").read_bytes()
        assert not (tmp_path / "out" / name).is_symlink()


HOSTILE = {
    "dots": [file("../escaped")],
    "dots inside": [file("a/../../escaped")],
    "absolute": [file("/tmp/escaped")],
    "newline": [file("a\nb")],
    "escape": [file("a\x1b[2Jb")],
    "backslash": [file("..\\escaped")],
    "link out": [special("link", tarfile.SYMTYPE, "../../etc/passwd")],
    "absolute link": [special("link", tarfile.SYMTYPE, "/etc/passwd")],
    "hard link out": [special("link", tarfile.LNKTYPE, "/etc/passwd")],
    "write through a link": [special("link", tarfile.SYMTYPE, "/tmp"), file("link/escaped")],
    "folder link": [
        special("d", tarfile.DIRTYPE),
        special("link", tarfile.SYMTYPE, "d"),
        file("link/escaped"),
    ],
    "character device": [special("null", tarfile.CHRTYPE)],
    "block device": [special("disk", tarfile.BLKTYPE)],
    "pipe": [special("pipe", tarfile.FIFOTYPE)],
    "twice": [file("a"), file("a")],
    "file as folder": [file("a"), file("a/b")],
}


@pytest.mark.parametrize("members", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("debian", [False, True])
def test_a_hostile_archive_writes_nothing_outside(
    tmp_path: Path, members: list[tuple[tarfile.TarInfo, bytes]], debian: bool
) -> None:
    archive = tar_of(tmp_path / "data.tar.gz", *members)
    archive = debian_of(tmp_path / "x.deb", archive) if debian else archive
    (tmp_path / "deep/out").mkdir(parents=True)
    before = everything(tmp_path) | everything(Path("/tmp").joinpath("escaped"))
    with pytest.raises(UserError) as caught:
        unpack(archive, tmp_path / "deep/out")
    assert "\n" not in str(caught.value) and "\x1b" not in str(caught.value)
    inside = everything(tmp_path / "deep/out")
    assert everything(tmp_path) - inside == before
    assert not any(path.is_symlink() for path in inside)
    assert not Path("/tmp/escaped").exists()


def test_hostile_zips(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    for name in ("../escaped", "/tmp/escaped", "a\nb", link):
        with zipfile.ZipFile(tmp_path / "x.zip", "w") as opened:
            opened.writestr(name, "/etc/passwd")
        (tmp_path / "out").mkdir(exist_ok=True)
        with pytest.raises(UserError, match=r"reaches outside|a link or device"):
            unpack(tmp_path / "x.zip", tmp_path / "out")
    assert everything(tmp_path) == {tmp_path / "x.zip", tmp_path / "out"}


def test_a_wheel_is_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.whl", "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("package/weights.bin", b"W" * 5000)
        opened.mkdir("package/empty")
    (tmp_path / "out").mkdir()
    unpack(tmp_path / "x.whl", tmp_path / "out")
    assert (tmp_path / "out/package/weights.bin").read_bytes() == b"W" * 5000


@pytest.mark.parametrize("name", ["x.tar.gz", "x.tar.xz", "x.tar", "x.zip", "x.deb"])
def test_a_damaged_archive_is_one_line(tmp_path: Path, name: str) -> None:
    for content in (b"", b"nonsense" * 100):
        (tmp_path / name).write_bytes(content)
        (tmp_path / "out").mkdir(exist_ok=True)
        with pytest.raises(UserError, match="is damaged"):
            unpack(tmp_path / name, tmp_path / "out")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_cut_archive_is_one_line(tmp_path: Path, share: float) -> None:
    tar = tar_of(tmp_path / "data.tar.xz", file("a", os.urandom(50_000)))
    for archive in (tar, debian_of(tmp_path / "x.deb", tar)):
        content = archive.read_bytes()
        archive.write_bytes(content[: int(share * len(content))])
        (tmp_path / archive.stem).mkdir()
        with pytest.raises(UserError, match="is damaged"):
            unpack(archive, tmp_path / archive.stem)
        archive.write_bytes(content)


def whole(folder: Path, ending: str) -> bytes:
    """A good archive with two files in two folders."""
    if ending == ".zip":
        with zipfile.ZipFile(folder / "good.zip", "w", zipfile.ZIP_DEFLATED) as opened:
            opened.writestr("a/b", b"B" * 300)
            opened.writestr("c", b"C")
        return (folder / "good.zip").read_bytes()
    name = {".deb": "data.tar.xz"}.get(ending, f"data{ending}")
    tar = tar_of(folder / name, special("a", tarfile.DIRTYPE), file("a/b", b"B" * 300), file("c", b"C"))
    return (debian_of(folder / "good.deb", tar) if ending == ".deb" else tar).read_bytes()


@pytest.mark.parametrize("ending", [".tar", ".tar.gz", ".tar.bz2", ".tar.xz", ".zip", ".deb"])
def test_any_bytes_are_unpacked_inside_or_refused(tmp_path: Path, ending: str) -> None:
    (tmp_path / "good").mkdir()
    good = whole(tmp_path / "good", ending)
    drawn = random.Random(0)
    for turn in range(150):
        content = bytearray(good)
        for _ in range(drawn.randint(1, 4)):
            # Most of a plain tar is padding: aim at its headers as well.
            place = drawn.choice([drawn.randrange(len(content)), drawn.randrange(min(600, len(content)))])
            content[place] = drawn.choice([0, 255, ord("/"), ord("."), ord("1"), drawn.randrange(256)])
        archive = tmp_path / f"x{ending}"
        archive.write_bytes(content)
        out = tmp_path / "deep" / str(turn)
        out.mkdir(parents=True)
        before = everything(tmp_path)
        try:
            unpack(archive, out)
        except UserError as error:
            assert str(error).isprintable()
        assert all(path.is_relative_to(out) for path in everything(tmp_path) - before)
        assert not any(path.is_symlink() for path in everything(out))
