"""Verses without their accents: a character for each, chapters whole."""

import unicodedata
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings, VocabularySettings
from modules.datamodules.formats.accents import AccentsReader, without_accents
from modules.datamodules.samples import Samples

CHARACTERS = FieldSettings(
    "int64", ["time"], ["time"], "token", vocabulary=VocabularySettings("characters", 9)
)
FIELDS = {"text": CHARACTERS, "labels": CHARACTERS}


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("¿Qué vió el niño?", "¿Que vio el nino?"),
        ("Ñandú, pingüino: Ezechîas", "Nandu, pinguino: Ezechias"),
        ("", ""),
    ],
)
def test_accents_are_taken_off_letter_by_letter(text: str, plain: str) -> None:
    assert without_accents(text) == plain
    assert without_accents(unicodedata.normalize("NFD", text)) == plain


def read(chapters: dict[str, dict[int, str]], fields: dict[str, FieldSettings], raw: Path) -> Samples:
    (raw / "usr/share/sword").mkdir(parents=True)
    with mock.patch("modules.datamodules.formats.accents.read_chapters", lambda folder: chapters):
        return AccentsReader().samples(raw, fields)["train"]


def test_a_sample_is_a_verse_and_goes_with_its_chapter(tmp_path: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "Y vió.")
    samples = read({"Genesis 1": {1: "EL día.", 3: decomposed}, "Genesis 2": {1: "Sí."}}, FIELDS, tmp_path)
    assert list(samples.keys) == ["Genesis 1:1", "Genesis 1:3", "Genesis 2:1"]
    assert list(samples.places) == ["Genesis 1", "Genesis 1", "Genesis 2"]
    found = samples.read(np.arange(3))
    assert found["text"] == ["EL dia.", "Y vio.", "Si."]
    assert found["labels"] == ["EL día.", "Y vió.", "Sí."]


def test_an_accent_that_has_no_letter_of_its_own_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Genesis 1:1: a letter has an accent"):
        read({"Genesis 1": {1: "x\N{COMBINING ACUTE ACCENT}"}}, FIELDS, tmp_path)


def test_other_fields_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the dataset has \['text'\]"):
        read({}, {"text": CHARACTERS}, tmp_path)
