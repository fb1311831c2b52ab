"""What a job takes along: the code and configuration that git tracks, and nothing else of this folder.

The archive is the same, bit for bit, for the same files, so that Ray keeps one copy of it.
"""

import subprocess
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from modules.configuration.errors import UserError
from modules.configuration.static_analysis.definitions import ROOT

SENT = ("cluster/slurm", "conf", "constraints.txt", "hydra_plugins", "modules", "pipelines")
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Package:
    """Files by their name in the archive.

    Attributes:
        files: paths on this machine.
    """

    files: dict[str, Path]

    @property
    def num_bytes(self) -> int:
        """Of all files, before they are packed."""
        return sum(path.stat().st_size for path in self.files.values())

    def write_zip(self, path: Path, compressed: bool = True) -> int:
        """Packs the files.

        Args:
            path: of the archive.
            compressed: each file by itself; not where the whole archive is compressed afterwards, which takes
                half as much of many small files.

        Returns:
            The size of the archive in bytes.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(path, "w") as archive:
            for name, file in sorted(self.files.items()):
                entry = zipfile.ZipInfo(name, _EPOCH)
                entry.external_attr = 0o644 << 16
                # Shards are packed already.
                stored = not compressed or name.startswith("data/")
                entry.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
                archive.writestr(entry, file.read_bytes())
        return path.stat().st_size

    def write_folder(self, folder: Path) -> None:
        """Copies the files."""
        for name, file in self.files.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())


def collect(datasets: Iterable[Path] = (), root: Path = ROOT) -> Package:
    """The files of a job.

    Args:
        datasets: folders of shards to send along.
        root: of the repository.

    Raises:
        UserError: there is no git that says which files are the repository's.
    """
    files = {}
    for name in _git_files(root, "--cached"):
        path = root / name
        if path.is_file() and not path.is_symlink():  # a link could lead out of the repository
            files[name] = path
    if "conf/config.yaml" not in files:
        raise UserError(f"git tracks no configuration in {root}", "Work in a clone of the repository")
    for folder in datasets:
        for path in sorted(folder.iterdir()):
            if path.is_file() and not path.name.startswith("."):
                files[f"data/shards/{folder.name}/{path.name}"] = path
    return Package(files)


def untracked(root: Path = ROOT) -> list[str]:
    """Files that lie among those that are sent and that git does not track."""
    return _git_files(root, "--others", "--exclude-standard")


def _git_files(root: Path, *which: str) -> list[str]:
    command = ["git", "-C", str(root), "ls-files", "-z", *which, "--", *SENT]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except FileNotFoundError:
        raise UserError("git is missing: it says which files are sent", "Install git") from None
    except subprocess.TimeoutExpired:
        raise UserError("git ls-files does not answer") from None
    if done.returncode:
        raise UserError(
            f"git knows no repository in {root}: {' '.join(done.stderr.split())}", "Work in a clone of it"
        )
    return sorted(name for name in done.stdout.split("\0") if name)


def size(num_bytes: float) -> str:
    """A number of bytes as people read it."""
    for unit in ("B", "KiB", "MiB"):
        if num_bytes < 1024:
            return f"{num_bytes:.0f} {unit}" if unit == "B" else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1024
    return f"{num_bytes:.1f} GiB"
