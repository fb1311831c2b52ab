"""Unpack what others packed: tar in all its compressions, zip, wheels and Debian packages.

Nothing is ever written outside the target folder: every name is checked before it is used, no link is ever
made (a link to a file of the same archive becomes a copy of it), and devices are refused. Debian packages are
opened without root and without running their scripts.
"""

import errno
import io
import lzma
import posixpath
import shutil
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from modules.configuration.errors import UserError

_TAR_ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")
_ZIP_ENDINGS = (".zip", ".whl")
_DAMAGES = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    ValueError,
    NotImplementedError,  # a compression that zipfile doesn't know
    RuntimeError,  # a zip with a password
)


def unpack(archive: Path, folder: Path, name: str = "", beneath: str = "") -> None:
    """Unpack `archive` into the empty `folder`; a file that is no archive is copied as it is.

    Args:
        archive: the file, whose ending says what it is.
        folder: where its content goes.
        name: what a file that is no archive is to be called there, if not as it is now.
        beneath: of a Debian package, the folder whose files alone are unpacked; of the others the names are
            checked and no more: their links may lead to other packages.

    Raises:
        UserError: if the archive is damaged, holds a name or a member that would reach outside `folder`, or
            nothing `beneath`.
    """
    try:
        if archive.name.endswith(".deb"):
            with _debian_files(archive) as tar:
                _unpack_tar(tar, archive, folder, beneath)
            if not any(folder.iterdir()):
                raise UserError(f"{archive} holds nothing beneath {beneath!r}", "Name a folder of it")
        elif archive.name.endswith(_TAR_ENDINGS):
            with tarfile.open(archive) as tar:
                _unpack_tar(tar, archive, folder)
        elif archive.name.endswith(_ZIP_ENDINGS):
            with zipfile.ZipFile(archive) as opened:
                _unpack_zip(opened, archive, folder)
        else:
            shutil.copyfile(archive, folder / (name or archive.name))
    except _DAMAGES as error:
        raise UserError(f"{archive} is damaged ({_one_line(error)})", "Delete it and fetch again") from error
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise UserError(f"{archive} holds {Path(error.filename).name!r} twice", "Refused") from error
    except OSError as error:
        # Broken streams are OSErrors as well, most without a number; a name too long is not the disk's fault.
        if error.errno not in (None, errno.EINVAL, errno.ENAMETOOLONG):
            raise
        raise UserError(f"{archive} is damaged ({_one_line(error)})", "Delete it and fetch again") from error


def _unpack_tar(tar: tarfile.TarFile, archive: Path, folder: Path, beneath: str = "") -> None:
    links: list[tuple[str, str]] = []
    for member in tar:
        name = _checked_name(member.name, archive)
        if beneath and not name.startswith(f"{beneath}/"):
            continue
        if member.isdir():
            (folder / name).mkdir(parents=True, exist_ok=True)
        elif member.isreg():
            content = tar.extractfile(member)
            assert content is not None, "a regular member has content"
            _write(content, folder / name)
        elif member.issym():
            links.append((name, posixpath.join(posixpath.dirname(name), member.linkname)))
        elif member.islnk():
            links.append((name, member.linkname))
        else:
            raise UserError(f"{archive} holds the device {member.name!r}", "Refused")
    for name, target in links:
        original = folder / _checked_name(target, archive)
        if not original.is_file():
            raise UserError(f"{archive} holds the link {name!r} to {target!r}, no file of its own", "Refused")
        with original.open("rb") as content:
            _write(content, folder / name)


def _unpack_zip(opened: zipfile.ZipFile, archive: Path, folder: Path) -> None:
    for member in opened.infolist():
        name = _checked_name(member.filename, archive)
        kind = member.external_attr >> 28  # the upper bits of a Unix mode; 0 where there is none
        if member.is_dir():
            (folder / name).mkdir(parents=True, exist_ok=True)
        elif kind in (0, 0o10):
            with opened.open(member) as content:
                _write(content, folder / name)
        else:
            raise UserError(f"{archive} holds {member.filename!r}, a link or device", "Refused")


def _write(content, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        shutil.copyfileobj(content, file, 1 << 20)


def _checked_name(name: str, archive: Path) -> str:
    """The name without needless dots, if it stays inside the folder that it is unpacked into."""
    normal = posixpath.normpath(name)
    outside = normal.startswith("/") or normal.split("/")[0] == ".."
    if outside or ".." in name.split("/")[:1] or "\\" in name or any(ord(letter) < 32 for letter in name):
        raise UserError(f"{archive} holds {name!r}, which reaches outside its folder", "Refused")
    return normal


@contextmanager
def _debian_files(archive: Path) -> Iterator[tarfile.TarFile]:
    """The files of a Debian package: the member data.tar.* of an ar archive (see `man 5 deb`)."""
    with archive.open("rb") as file:
        if file.read(8) != b"!<arch>\n":
            raise tarfile.ReadError("not a Debian package")
        while len(header := file.read(60)) == 60:
            name, size = header[:16].decode("ascii", "replace").rstrip(" /"), int(header[48:58])
            if name.startswith("data.tar"):
                break
            file.seek(size + size % 2, io.SEEK_CUR)
        else:
            raise tarfile.ReadError("it holds no data.tar")
        if name == "data.tar.zst":
            with _zstandard_tar(archive) as tar:
                yield tar
        else:
            with tarfile.open(fileobj=_Slice(file, size), mode="r|*") as tar:
                yield tar


@contextmanager
def _zstandard_tar(archive: Path) -> Iterator[tarfile.TarFile]:
    """Python 3.11 knows no zstandard, which only newer packages use: dpkg-deb does."""
    if shutil.which("dpkg-deb") is None:
        raise UserError(f"{archive} is packed with zstandard and dpkg-deb is missing", "Install dpkg")
    command = ["dpkg-deb", "--fsys-tarfile", str(archive)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process,
        tarfile.open(fileobj=process.stdout, mode="r|") as tar,
    ):
        yield tar


def _one_line(error: BaseException) -> str:
    return " ".join(repr(str(error))[1:-1].split()) or type(error).__name__


class _Slice(io.RawIOBase):
    """The next `size` bytes of a file, as a stream."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = size

    def read(self, size: int = -1) -> bytes:
        content = self._file.read(min(size, self._left))
        self._left -= len(content)
        return content
