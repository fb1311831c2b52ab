"""Verses without their accents, and beside them as they are: one character for each.

What stands above or below a letter is taken off by Unicode's canonical decomposition (Unicode Standard Annex
15): á é í ó ú ü â ñ become a e i o u u a n. The same letter never takes two characters in one of the texts
and one in the other, so that each step of the text has its label.
"""

import unicodedata
from pathlib import Path

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.formats.sword_text import FOLDER, read_chapters
from modules.datamodules.samples import ArraySamples, Samples, raw_path


class AccentsReader:
    """The verses of a bible in the format of the SWORD project, a verse a sample.

    Args:
        folder: beneath the source, the folder with `mods.d` and `modules`.
        split: the name of the one split that they make.
    """

    def __init__(self, folder: str = FOLDER, split: str = "train") -> None:
        self.folder = folder
        self.split = split

    def samples(self, raw: Path, fields: dict[str, FieldSettings]) -> dict[str, Samples]:
        """The one split with `text` and `labels`; a sample's key is its verse, `Genesis 1:1`, and the verses
        of a chapter lie in one split.

        Raises:
            UserError: the fields are others, or a letter has an accent that cannot be written in one
                character with it.
        """
        if sorted(fields) != ["labels", "text"] or any(
            field.vocabulary is None or field.vocabulary.kind != "characters" for field in fields.values()
        ):
            raise UserError(
                f"verses make the fields text and labels of characters, and the dataset has {sorted(fields)}",
                "Describe text and labels, each with a vocabulary of characters",
            )
        keys: list[str] = []
        verses: list[str] = []
        places: list[str] = []
        for chapter, found in read_chapters(raw_path(raw, self.folder)).items():
            for number, verse in found.items():
                keys.append(f"{chapter}:{number}")
                verses.append(unicodedata.normalize("NFC", verse))
                places.append(chapter)
        columns = {"text": list(map(without_accents, verses)), "labels": verses}
        for key, text, verse in zip(keys, columns["text"], verses, strict=True):
            if len(text) != len(verse):
                raise UserError(
                    f"{key}: a letter has an accent that Unicode writes as a character of its own",
                    "Correct the text, or leave the verse out",
                )
        return {self.split: ArraySamples(keys, columns, places)}


def without_accents(text: str) -> str:
    """The text without combining marks, in Unicode's composed form (NFC)."""
    decomposed = unicodedata.normalize("NFD", text)
    kept = "".join(character for character in decomposed if not unicodedata.combining(character))
    return unicodedata.normalize("NFC", kept)
