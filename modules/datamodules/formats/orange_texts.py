"""Texts with a class each, as tables of the program Orange: tab-separated, three lines of heading.

The first line of the heading names the columns, the second says what they hold (d = class, string = text),
the third which of them is the class. A text is one line; it is not quoted.
"""

from pathlib import Path

import numpy as np

from modules.configuration.errors import UserError
from modules.configuration.regular_file import read_regular_text
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.own_files import equal_notes
from modules.datamodules.samples import ArraySamples, Samples, raw_path

_HEADING = ("d\tstring", "class\t")
"""The second and the third line."""


class OrangeTextsReader:
    """The texts of each file as a split of its own.

    Args:
        files: of each split, beneath the source.
        max_words: words of a text that are kept, from its begin; how many texts are cut is said.
    """

    def __init__(self, files: dict[str, str], max_words: int) -> None:
        if max_words < 1:
            raise UserError(f"reader.max_words={max_words} leaves nothing", "Give 1 or more")
        self.files = files
        self.max_words = max_words

    def samples(self, raw: Path, fields: dict[str, FieldSettings]) -> dict[str, Samples]:
        """The splits with `text` and `label`; a sample's key is its line, and equal texts lie in one split.

        Raises:
            UserError: the fields are others, a file is no such table, or a class is not among the label's.
        """
        label = fields.get("label")
        if sorted(fields) != ["label", "text"] or label is None or not label.classes:
            raise UserError(
                f"the texts have the fields text and label, and the dataset has {sorted(fields)}",
                "Describe text, with a vocabulary, and label, with classes",
            )
        return {split: self._split(split, raw_path(raw, file), label) for split, file in self.files.items()}

    def _split(self, split: str, path: Path, label: FieldSettings) -> Samples:
        numbers = {name: number for number, name in enumerate(label.classes or [])}
        keys: list[str] = []
        texts: list[str] = []
        labels: list[int] = []
        num_cut = 0
        for line, (name, text) in _rows(path).items():
            if name not in numbers:
                raise UserError(
                    f"{path}:{line} is of the class {name!r}, which fields.label.classes does not name",
                    f"Name it there, beside {', '.join(numbers)}",
                )
            words = text.split()
            num_cut += len(words) > self.max_words
            keys.append(str(line))
            texts.append(" ".join(words[: self.max_words]))
            labels.append(numbers[name])
        notes = equal_notes(keys, texts)
        if num_cut:
            notes.append(f"{num_cut} of {len(keys)} texts of {split} are cut to {self.max_words} words")
        columns = {"text": texts, "label": np.array(labels, np.int64)}
        return ArraySamples(keys, columns, places=texts, notes=notes)


def _rows(path: Path) -> dict[int, tuple[str, str]]:
    """Class and text by the number of their line."""
    try:
        lines = read_regular_text(path, links=True).split("\n")
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is no text in UTF-8 ({error})", "Fetch it again") from error
    rows = {number: tuple(line.split("\t")) for number, line in enumerate(lines, 1) if line}
    heading = [rows.pop(number, ()) for number in (1, 2, 3)]
    if tuple("\t".join(cells) for cells in heading[1:]) != _HEADING or not rows:
        raise UserError(f"{path} is no table of a class and a text", f"Its heading must be {_HEADING}")
    found: dict[int, tuple[str, str]] = {}
    for number, cells in rows.items():
        if len(cells) != 2 or not cells[1].strip():
            raise UserError(f"{path}:{number} is no class and text, with a tab between", "Correct the line")
        found[number] = (cells[0], cells[1])
    return found
