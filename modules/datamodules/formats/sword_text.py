"""A bible in the format of the SWORD project, as Debian's packages `sword-text-*` carry it; read by
`pysword`.

A document is a chapter, its verses one a line.
"""

import functools
from pathlib import Path

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.samples import ArraySamples, Samples, raw_path


class SwordTextReader:
    """The chapters of one book of books.

    Args:
        folder: beneath the source, the folder with `mods.d` and `modules`.
        split: the name of the one split that they make.
    """

    def __init__(self, folder: str = "usr/share/sword", split: str = "train") -> None:
        self.folder = folder
        self.split = split

    def samples(self, raw: Path, fields: dict[str, FieldSettings]) -> dict[str, Samples]:
        """The one split; a sample's key is its book and chapter: `Genesis 1`."""
        if [bool(field.vocabulary) for field in fields.values()] != [True]:
            raise UserError(
                f"a book makes one field of text, and the dataset has {sorted(fields)}",
                "Describe one field, with a vocabulary",
            )
        chapters = _chapters(raw_path(raw, self.folder))
        (name,) = fields
        return {self.split: ArraySamples(list(chapters), {name: list(chapters.values())})}


def _chapters(folder: Path) -> dict[str, str]:
    from pysword.modules import SwordModules

    try:
        modules = SwordModules(str(folder))
        (found,) = modules.parse_modules()
        bible = modules.get_bible_from_module(found)
        # pysword unpacks a whole book for every verse of it: a minute for what takes seconds once.
        unpack = bible._decompressed_text  # pyright: ignore
        bible._decompressed_text = functools.lru_cache(maxsize=2)(unpack)  # pyright: ignore
        books = [book for part in bible.get_structure().get_books().values() for book in part]
        chapters = {}
        for book in books:
            for chapter in range(1, book.num_chapters + 1):
                verses = bible.get_iter(books=[book.name], chapters=[chapter], clean=True)
                lines = (" ".join(verse.split()) for verse in verses)
                chapters[f"{book.name} {chapter}"] = "\n".join(line for line in lines if line)
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise UserError(f"{folder} holds no SWORD text ({error!r})", "Fetch it again") from error
    return chapters
