"""Pairs of sentences and of symbols: what is one, where it goes, and what is left out and said."""

import struct
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings, VocabularySettings
from modules.datamodules.formats.parallel_verses import ParallelVersesReader
from modules.datamodules.formats.symbol_sequences import SymbolSequencesReader
from modules.datamodules.formats.translated_messages import TranslatedMessagesReader

CHARACTERS = FieldSettings(
    "int64", ["time"], ["time"], "token", vocabulary=VocabularySettings("characters", 9)
)
FIELDS = {"source": CHARACTERS, "target": CHARACTERS}


@pytest.mark.parametrize(("rule", "made"), [("copy", "cab"), ("reverse", "bac"), ("sort", "abc")])
def test_a_rule_makes_the_target(rule: str, made: str, tmp_path: Path) -> None:
    # The first byte chooses the length, 2 to 4; the next are symbols of 3.
    rows = np.array([[1, 2, 0, 1, 0, 0], [1, 5, 3, 4, 0, 0], [0, 2, 0, 1, 0, 0]], np.uint8)
    np.save(tmp_path / "bits.npy", rows[[0, 1, 1, 2]])
    reader = SymbolSequencesReader("bits.npy", rule, 3, [2, 4], 1, [5, 5])  # pyright: ignore
    found = reader.samples(tmp_path, FIELDS)
    train = found["train"].read(np.arange(3))
    assert train["source"] == ["cab", "cab", "ca"] and train["target"][0] == made
    assert list(found["train"].places or ()) == ["cab", "cab", "ca"]
    assert found["longer"].read(np.arange(1))["source"] == ["cabaa"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"num_symbols": 1}, "num_symbols=1"),
        ({"lengths": [3, 2]}, r"lengths=\[3, 2\] is no range"),
        ({"longer": 3}, "longer=3, and bits.npy has 3 rows"),
        ({"longer_lengths": [7, 9]}, "take rows of 10 bytes"),
    ],
)
def test_sequences_that_cannot_be_are_one_line(changed: dict, message: str, tmp_path: Path) -> None:
    np.save(tmp_path / "bits.npy", np.zeros((3, 6), np.uint8))
    settings = {
        "num_symbols": 3, "lengths": [1, 2], "longer": 1, "longer_lengths": [3, 4], "rule": "copy"
    } | changed  # fmt: skip
    with pytest.raises(UserError, match=message):
        SymbolSequencesReader("bits.npy", **settings).samples(tmp_path, FIELDS)


def write_catalogue(file: Path, messages: dict[str, str]) -> None:
    """A compiled catalogue (GNU gettext manual, section 10.3)."""
    header = {"": "Content-Type: text/plain; charset=UTF-8\nPlural-Forms: nplurals=2; plural=n > 1;\n"}
    pairs = [(key.encode(), value.encode()) for key, value in sorted((header | messages).items())]
    begin, tables, texts = 28 + 16 * len(pairs), [], b""
    for column in range(2):
        for pair in pairs:
            tables.append(struct.pack("<II", len(pair[column]), begin + len(texts)))
            texts += pair[column] + b"\0"
    head = struct.pack("<7I", 0x950412DE, 0, len(pairs), 28, 28 + 8 * len(pairs), 0, 0)
    file.write_bytes(head + b"".join(tables) + texts)


def test_messages_are_sentences_with_their_translation(tmp_path: Path) -> None:
    messages = {
        "ONE\x04Save ~changes of\nthis file?": "Enregistrer les modifications ?",
        "TWO\x04Save changes of this file?": "encore",
        "THREE\x04save changes of this file": "enregistrer",
        "Page %1 of this book": "Page %1",
        "All of it": "All of it",
        "Yes": "Oui",
        "one file is\0many files are": "un fichier est\0des fichiers sont",
    }
    write_catalogue(tmp_path / "x.mo", messages)
    found = TranslatedMessagesReader(".", [3, 30]).samples(tmp_path, FIELDS)["train"]
    read = found.read(np.arange(len(found.keys)))
    pairs = dict(zip(read["source"], read["target"], strict=True))
    assert set(pairs) == {"Save changes of this file?", "save changes of this file", "one file is"}
    assert pairs["one file is"] == "un fichier est"
    places = dict(zip(read["source"], found.places or (), strict=True))
    assert places["Save changes of this file?"] == places["save changes of this file"]
    with pytest.raises(UserError, match=r"holds no message of \[9, 9\] words"):
        TranslatedMessagesReader(".", [9, 9]).samples(tmp_path, FIELDS)
    (tmp_path / "x.mo").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"x\.mo is no catalogue of gettext"):
        TranslatedMessagesReader(".", [3, 30]).samples(tmp_path, FIELDS)


def test_verses_that_both_have_make_pairs_by_book(tmp_path: Path) -> None:
    bibles = {
        "english": {"Ruth 1": {1: "In the days", 2: "And"}, "Mark 1": {1: "The begin", 3: "a b c d"}},
        "spanish": {"Ruth 1": {1: "Y acaeció"}, "Mark 1": {1: "Principio", 3: "a"}},
    }
    for language in bibles:
        (tmp_path / language / "usr/share/sword").mkdir(parents=True)

    def chapters(folder: Path) -> dict[str, dict[int, str]]:
        return bibles[folder.parts[-4]]

    with mock.patch("modules.datamodules.formats.parallel_verses.read_chapters", chapters):
        reader = ParallelVersesReader("english", "spanish", {"test": ["Mark"]}, max_words=3)
        found = reader.samples(tmp_path, FIELDS)
        assert {split: list(samples.keys) for split, samples in found.items()} == {
            "train": ["Ruth 1:1"],
            "test": ["Mark 1:1"],
        }
        assert found["test"].read(np.arange(1)) == {"source": ["The begin"], "target": ["Principio"]}
        assert list(found["train"].notes) == ["1 verses that only one of the two has are left out"]
        assert list(found["test"].notes) == ["1 verses of test with more than 3 words are left out"]
        with pytest.raises(UserError, match="held_out names 'Job'"):
            ParallelVersesReader("english", "spanish", {"test": ["Job"]}).samples(tmp_path, FIELDS)
    with pytest.raises(UserError, match="Name each book once"):
        ParallelVersesReader("english", "spanish", {"test": ["Job"], "validation": ["Job"]})
