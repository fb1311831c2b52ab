"""One's own texts: a file for each document, UTF-8; or one file with a document a line."""

from pathlib import Path

from modules.configuration.errors import UserError
from modules.configuration.regular_file import read_regular_text
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.own_files import LeftOut, OnBadFile, equal_notes, read_all, visible_files
from modules.datamodules.samples import ArraySamples, Samples, raw_path


class TextFilesReader:
    """Documents for the one field of text.

    Args:
        files: pattern of the files beneath the source, such as `*.txt` or `**/*.txt`.
        split: the name of the one split that they make.
        by_line: whether each line that is not blank is a document of its own.
        on_bad_file: whether a file that cannot be read is an error, or left out and told.
    """

    def __init__(
        self,
        files: str = "**/*.txt",
        split: str = "train",
        by_line: bool = False,
        on_bad_file: OnBadFile = "error",
    ) -> None:
        self.files = files
        self.split = split
        self.by_line = by_line
        self.on_bad_file: OnBadFile = on_bad_file

    def samples(self, raw: Path, fields: dict[str, FieldSettings]) -> dict[str, Samples]:
        """The one split; a sample's key is its path beneath the source, of a line with its number."""
        if [bool(field.vocabulary) for field in fields.values()] != [True]:
            raise UserError(
                f"text files make one field of text, and the dataset has {sorted(fields)}",
                "Describe one field, with a vocabulary",
            )
        left_out = LeftOut(raw)
        fitting = set(raw_path(raw, ".").glob(self.files))
        files = []
        for path in visible_files(raw, left_out):
            if path in fitting:
                files.append(path)
            else:
                left_out.add(f"not what reader.files takes ({self.files})", path)
        keys: list[str] = []
        texts: list[str] = []
        for path, text in read_all(files, read_text, self.on_bad_file, left_out).items():
            key = path.relative_to(raw).as_posix()
            lines = text.splitlines() if self.by_line else [text]
            kept = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
            if not kept:
                left_out.add("blank", path)
            keys += [f"{key}:{number}" if self.by_line else key for number, _ in kept]
            texts += [line for _, line in kept]
        if not texts:
            raise UserError(f"{raw} holds no text that fits {self.files!r}", "Correct the reader's files")
        (name,) = fields
        notes = [*left_out.notes, *equal_notes(keys, texts)]
        return {self.split: ArraySamples(keys, {name: texts}, places=texts, notes=notes)}


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        UserError: it cannot be read, or is not UTF-8.
    """
    try:
        return read_regular_text(path, links=True)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is no text in UTF-8 ({error})", "Save it as UTF-8, or remove it") from error
