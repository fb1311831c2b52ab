"""Texts with a class each, of tab-separated tables: cut where they are long, and told."""

from pathlib import Path

import numpy as np
import pytest

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings, VocabularySettings
from modules.datamodules.formats.orange_texts import OrangeTextsReader
from modules.datamodules.samples import Samples

FIELDS = {
    "text": FieldSettings("int64", ["time"], ["time"], "token", vocabulary=VocabularySettings("words", 9)),
    "label": FieldSettings("int64", [], [], "class number", classes=["acq", "earn"]),
}
HEADING = "Category\tText\nd\tstring\nclass\t\n"


def read(raw: Path, content: str) -> Samples:
    (raw / "texts.tab").write_text(content, encoding="utf-8")
    return OrangeTextsReader({"train": "texts.tab"}, max_words=3).samples(raw, FIELDS)["train"]


def test_long_texts_are_cut_and_counted(tmp_path: Path) -> None:
    samples = read(tmp_path, HEADING + 'earn\ta "b" c d \nacq\te f g\nacq\te  f g\n')
    found = samples.read(np.arange(3))
    assert found["text"] == ['a "b" c', "e f g", "e f g"]
    assert found["label"].tolist() == [1, 0, 0]
    assert list(samples.keys) == ["4", "5", "6"] and samples.places[1] == samples.places[2]
    assert samples.notes == [
        "1 of 3 samples hold the same as another (6 as 5): equal ones lie in one split",
        "1 of 3 texts of train are cut to 3 words",
    ]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("earn\ta\n", "is no table of a class and a text"),
        (HEADING, "is no table of a class and a text"),
        (HEADING + "earn\n", "texts.tab:4 is no class and text"),
        (HEADING + "earn\t \n", "texts.tab:4 is no class and text"),
        (HEADING + "earn\ta\tb\n", "texts.tab:4 is no class and text"),
        (HEADING + "earn\ta\nship\tb\n", "texts.tab:5 is of the class 'ship'"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path: Path, content: str, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        read(tmp_path, content)


def test_fields_and_lengths_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="max_words=0"):
        OrangeTextsReader({}, 0)
    with pytest.raises(UserError, match=r"the dataset has \['label'\]"):
        OrangeTextsReader({}, 1).samples(tmp_path, {"label": FIELDS["label"]})
