"""Spoken messages: what is read aloud, each text and voice in one split, the same sound for ever."""

from pathlib import Path

import numpy as np
import pytest

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings, VocabularySettings
from modules.datamodules.formats import spoken_messages
from modules.datamodules.formats.spoken_messages import SpokenMessagesReader
from tests.datamodules.test_translation_readers import write_catalogue

FIELDS = {
    "sound": FieldSettings("float32", ["time"], ["time"], "pressure", sample_rate_hz=8000),
    "text": FieldSettings(
        "int64", ["characters"], ["time"], "token", vocabulary=VocabularySettings("characters", 32)
    ),
}
SPOKEN = ["Save the file?", "Don't ask again", "Bold", "Line Style...", "Insert ~rows above", "Recent files"]
SILENT = ["Open PDF", "Page 3", "Café menu", "and/or", "bold!", "one two three four five"]


def reader(**changed: object) -> SpokenMessagesReader:
    given = {
        "library": "voice.so",
        "messages": "texts",
        "accents": ["en-us", "en"],
        "voices": {"train": ["m1", "f1"], "test": ["m2"]},
        "num_utterances": {"train": 4, "test": 2},
        "words": [1, 4],
    }
    return SpokenMessagesReader(**given | changed)  # pyright: ignore[reportArgumentType]


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    (tmp_path / "texts").mkdir()
    (tmp_path / "voice.so").touch()
    messages = {message: f"{number}" for number, message in enumerate([*SPOKEN, *SILENT])}
    write_catalogue(tmp_path / "texts" / "x.mo", messages)
    return tmp_path


def test_each_message_is_said_once_by_a_voice_of_its_split(
    raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def beeps(library: Path, utterances: list[tuple]) -> tuple[int, list[np.ndarray]]:
        asked.extend(utterances)
        return 22050, [np.full(1000 + 10 * len(text), 9000, np.int16) for text, *_ in utterances]

    monkeypatch.setattr(spoken_messages, "speak", beeps)
    splits = reader().samples(raw, FIELDS)
    train, test = splits["train"].read(np.arange(4)), splits["test"].read(np.arange(2))
    texts = [*train["text"], *test["text"]]
    assert sorted(texts) == [
        "bold",
        "don't ask again",
        "insert rows above",
        "line style",
        "recent files",
        "save the file",
    ]
    assert asked == [], "texts alone ask for no voice"
    sounds = train["sound"]
    assert {voice.partition("+")[2] for _, voice, *_ in asked} <= {"m1", "f1"}
    assert all(sound.dtype == np.float32 and 0.2 <= np.abs(sound).max() <= 0.9 for sound in sounds)
    again = reader().samples(raw, FIELDS)["train"].read(np.array([2]))
    assert again["text"] == train["text"][2:3] and np.array_equal(again["sound"][0], sounds[2])
    asked.clear()
    test["sound"]
    assert {voice.partition("+")[2] for _, voice, *_ in asked} == {"m2"}


def test_too_few_messages_are_one_line(raw: Path) -> None:
    with pytest.raises(UserError, match="num_utterances are 7, and there are 6 messages"):
        reader(num_utterances={"train": 5, "test": 2}).samples(raw, FIELDS)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"voices": {"train": ["m1"], "test": ["m1"]}}, "has 'm1' twice"),
        ({"voices": {"train": ["m1"]}}, r"utterances of \['test', 'train'\]"),
        ({"accents": []}, "reader has 0 accents"),
    ],
)
def test_settings_that_cannot_be_are_one_line(changed: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        reader(**changed)


def test_other_fields_are_refused(raw: Path) -> None:
    with pytest.raises(UserError, match="the dataset has the fields text"):
        reader().samples(raw, {"text": FIELDS["text"]})
