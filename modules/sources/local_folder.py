"""A folder of this machine: one's own data, or what was brought here by hand."""

import shutil
from pathlib import Path

from modules.configuration.errors import UserError
from modules.sources.cache import checked_name
from modules.sources.folder_files import files_beneath


class LocalFolder:
    """A copy of a folder, so that the data stay what they were when the run was made.

    Args:
        name: what the source is called here.
        path: the folder.
        licence: licence of the data.
    """

    def __init__(self, name: str, path: str, licence: str) -> None:
        self.name = checked_name("name", name)
        self.path = path
        self.licence = licence

    def fetch(self, cache: Path, folder: Path) -> None:
        """Copy all files into `folder`, those of linked folders too; nothing is kept in `cache`.

        Raises:
            UserError: if there is no such folder, it is empty, or it holds something that can't be copied.
        """
        origin = Path(self.path).expanduser()
        if not origin.is_dir():
            raise UserError(
                f"path={self.path!r} of the source {self.name!r} is no folder", "Write where the files lie"
            )
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
            target = folder / file.relative_to(origin)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
