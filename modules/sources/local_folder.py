"""A folder of this machine: one's own data, or what was brought here by hand."""

import shutil
from pathlib import Path
from typing import ClassVar

from modules.configuration.errors import UserError
from modules.sources.cache import checked_name
from modules.sources.folder_files import files_beneath, shown


class LocalFolder:
    """A copy of a folder, so that the data stay what they were when the run was made.

    Args:
        name: what the source is called here.
        path: the folder.
        licence: licence of the data.
    """

    changes: ClassVar[bool] = True
    """What lies there may be another thing tomorrow: it is looked at each time."""

    def __init__(self, name: str, path: str, licence: str) -> None:
        self.name = checked_name("name", name)
        self.path = path
        self.licence = licence

    def fetch(self, cache: Path, folder: Path) -> None:
        """Copy all files into `folder`, those of linked folders too; nothing is kept in `cache`.

        Raises:
            UserError: if there is no such folder, it is empty, or it holds something that can't be copied.
        """
        origin = self._origin()
        for file in self._files(origin):
            target = folder / file.relative_to(origin)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)

    def listing(self) -> dict[str, list[int]]:
        """Size in bytes and time of the last change in ns of each file, by its path: cheap to look at.

        Raises:
            UserError: as `fetch`.
        """
        origin = self._origin()
        status = {shown(file.relative_to(origin)): file.stat() for file in self._files(origin)}
        return {name: [one.st_size, one.st_mtime_ns] for name, one in status.items()}

    def differs_from(self, folder: Path) -> bool:
        """Whether files came, went, grew or were changed since they were copied into `folder`."""
        copied_ns = (folder / "source.json").stat().st_mtime_ns
        sizes = {
            shown(path.relative_to(folder)): path.stat().st_size
            for path in files_beneath(folder)
            if path != folder / "source.json"
        }
        found = self.listing()
        found.pop("source.json", None)
        return {name: size for name, (size, _) in found.items()} != sizes or any(
            changed_ns > copied_ns for _, changed_ns in found.values()
        )

    def _origin(self) -> Path:
        origin = Path(self.path).expanduser()
        if not origin.is_dir():
            raise UserError(
                f"path={self.path!r} of the source {self.name!r} is no folder", "Write where the files lie"
            )
        return origin

    def _files(self, origin: Path) -> list[Path]:
        files = files_beneath(origin)
        if not files:
            raise UserError(
                f"path={self.path!r} of the source {self.name!r} holds no file", "Put the files there"
            )
        for file in files:
            if not file.is_file():
                raise UserError(
                    f"{file} is a broken link or a device", "Remove it, or put a file in its place"
                )
        return files
