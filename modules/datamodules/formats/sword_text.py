"""A bible in the format of the SWORD project, as Debian's packages `sword-text-*` carry it; read by
`pysword`.

A document is a chapter, its verses one a line.
"""

import functools
from pathlib import Path

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.samples import ArraySamples, Samples, raw_path

FOLDER = "usr/share/sword"
"""Where a package has `mods.d` and `modules`."""


class SwordTextReader:
    """The chapters of one book of books.

    Args:
        folder: beneath the source, the folder with `mods.d` and `modules`.
        split: the name of the one split that they make.
    """

    def __init__(self, folder: str = FOLDER, split: str = "train") -> None:
        self.folder = folder
        self.split = split

    def samples(self, raw: Path, fields: dict[str, FieldSettings]) -> dict[str, Samples]:
        """The one split; a sample's key is its book and chapter: `Genesis 1`."""
        if [bool(field.vocabulary) for field in fields.values()] != [True]:
            raise UserError(
                f"a book makes one field of text, and the dataset has {sorted(fields)}",
                "Describe one field, with a vocabulary",
            )
        chapters = read_chapters(raw_path(raw, self.folder))
        (name,) = fields
        texts = ["\n".join(verses.values()) for verses in chapters.values()]
        return {self.split: ArraySamples(list(chapters), {name: texts})}


def read_chapters(folder: Path) -> dict[str, dict[int, str]]:
    """The verses of each chapter by their number, those without words left out; a chapter is `Genesis 1`.

    Args:
        folder: with `mods.d` and `modules`.

    Raises:
        UserError: it holds no such text.
    """
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
                lines = {number: " ".join(verse.split()) for number, verse in enumerate(verses, 1)}
                chapters[f"{book.name} {chapter}"] = {n: line for n, line in lines.items() if line}
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise UserError(f"{folder} holds no SWORD text ({error!r})", "Fetch it again") from error
    return chapters
