"""Verses of one bible in two languages, as pairs of sentences for translation.

Both are in the format of the SWORD project, see `sword_text`; what one of them counts otherwise, or leaves
out, makes no pair.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.formats.sword_text import FOLDER, read_chapters
from modules.datamodules.samples import ArraySamples, Samples, raw_path


class ParallelVersesReader:
    """A pair of each verse that both have; the splits are whole books.

    Args:
        source: folder of the source's part with the bible that is read.
        target: of the one that is written.
        held_out: of each split but `train`, its books by their English names; all other books are `train`.
        max_words: of a verse on either side; a pair with more is left out, and how many is said.

    Raises:
        UserError: a book is held out twice, or no word is allowed.
    """

    def __init__(
        self, source: str, target: str, held_out: Mapping[str, Sequence[str]], max_words: int = 60
    ) -> None:
        books = [book for some in held_out.values() for book in some]
        if len(set(books)) < len(books) or "train" in held_out:
            raise UserError(
                f"reader.held_out is {dict(held_out)}",
                "Name each book once, and no split train: it has the rest",
            )
        if max_words < 1:
            raise UserError(f"reader.max_words={max_words} leaves nothing", "Give 1 or more")
        self.source, self.target, self.held_out, self.max_words = source, target, held_out, max_words

    def samples(self, raw: Path, fields: dict[str, FieldSettings]) -> dict[str, Samples]:
        """The splits with `source` and `target`; a sample's key is its verse, `Genesis 1:1`.

        Raises:
            UserError: the fields are others, or a book that is held out is not there.
        """
        if set(fields) != {"source", "target"}:
            raise UserError(f"the fields are {', '.join(fields)}", "Write source and target")
        read, written = (
            _verses(raw_path(raw, f"{folder}/{FOLDER}")) for folder in (self.source, self.target)
        )
        split_of = {book: split for split, books in self.held_out.items() for book in books}
        there = {_book(key) for key in read}
        if missing := sorted(set(split_of) - there):
            raise UserError(f"reader.held_out names {missing[0]!r}", f"There are {', '.join(sorted(there))}")
        pairs: dict[str, dict[str, tuple[str, str]]] = {split: {} for split in ("train", *self.held_out)}
        num_long: dict[str, int] = dict.fromkeys(pairs, 0)
        for key in sorted(set(read) & set(written), key=list(read).index):
            split = split_of.get(_book(key), "train")
            if max(len(read[key].split()), len(written[key].split())) > self.max_words:
                num_long[split] += 1
            else:
                pairs[split][key] = (read[key], written[key])
        alone = len(set(read) ^ set(written))
        notes = [f"{alone} verses that only one of the two has are left out"] if alone else []
        found: dict[str, Samples] = {}
        for split, some in pairs.items():
            long = num_long[split]
            more = [f"{long} verses of {split} with more than {self.max_words} words are left out"]
            columns = {
                "source": [source for source, _ in some.values()],
                "target": [target for _, target in some.values()],
            }
            found[split] = ArraySamples(list(some), columns, notes=[*notes, *(more if long else [])])
            notes = []
        return found


def _verses(folder: Path) -> dict[str, str]:
    chapters = read_chapters(folder)
    return {f"{key}:{number}": verse for key, verses in chapters.items() for number, verse in verses.items()}


def _book(key: str) -> str:
    """Of a verse such as `1 Kings 3:4`."""
    return key.rpartition(" ")[0]
