"""A package of Debian, or of a distribution made from it, fetched by apt and opened without root."""

import os
import shutil
from pathlib import Path
from typing import ClassVar

from modules.configuration.errors import UserError
from modules.sources.archive import unpack
from modules.sources.cache import cached, checked_name, last_error, run_client


class DebianPackage:
    """The files of one Debian package.

    Args:
        name: what the source is called here.
        package: the package's name in the distribution.
        version: its exact version.
        sha256: hash of the .deb file.
        licence: licence of the data, as the package states it.
        beneath: the folder whose files alone are unpacked; empty = all.
    """

    changes: ClassVar[bool] = False

    def __init__(
        self, name: str, package: str, version: str, sha256: str, licence: str, beneath: str = ""
    ) -> None:
        self.name = checked_name("name", name)
        self.package = checked_name("package", package)
        self.version = checked_name("version", version)
        self.sha256 = sha256
        self.licence = licence
        self.beneath = beneath

    def fetch(self, cache: Path, folder: Path) -> None:
        """Bring the package into `cache`, verify it and unpack its files into `folder`.

        Raises:
            UserError: if apt is missing, doesn't know this version, or delivers another content.
        """
        kept = cached(cache, f"{self.name}.deb", self.sha256, self._download)
        unpack(kept, folder, beneath=self.beneath)

    def _download(self, folder: Path) -> Path:
        wanted = f"{self.package}={self.version}"
        by_hand = f"put its .deb file at {folder.with_suffix('')}"
        if shutil.which("apt-get") is None:
            raise UserError(
                f"apt-get is missing, so the Debian package {wanted} can't be fetched",
                f"Elsewhere than on Debian {by_hand}, or use a modules.sources.local_folder.LocalFolder",
            )
        status, output = run_client(["apt-get", "download", wanted], folder, {**os.environ, "LC_ALL": "C"})
        files = sorted(folder.glob("*.deb"))
        if status != 0 or not files:
            raise UserError(
                f"apt-get can't download {wanted}: {last_error(output, 'E:')}",
                f"Its lists may be stale: run `sudo apt-get update` and try again, or {by_hand}",
            )
        return files[-1]
