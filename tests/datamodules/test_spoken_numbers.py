"""Spoken numbers: their words, the same sound for ever, silence around it, and plain errors."""

from pathlib import Path

import numpy as np
import pytest

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings, VocabularySettings
from modules.datamodules.formats import spoken_numbers
from modules.datamodules.formats.spoken_numbers import SpokenNumbersReader, heard, number_in_words

FIELDS = {
    "sound": FieldSettings("float32", ["time"], ["time"], "pressure", sample_rate_hz=8000),
    "text": FieldSettings("int64", ["words"], ["time"], "token", vocabulary=VocabularySettings("words", 34)),
}
VOICES = {"train": ["m1", "f1"], "test": ["m2"]}


def reader(**changed: object) -> SpokenNumbersReader:
    given = {
        "library": "voice.so",
        "accents": ["en"],
        "voices": VOICES,
        "num_utterances": {"train": 60, "test": 3},
    }
    return SpokenNumbersReader(**given | changed)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zero"),
        (13, "thirteen"),
        (40, "forty"),
        (99, "ninety nine"),
        (110, "one hundred ten"),
        (1000, "one thousand"),
        (20_001, "twenty thousand one"),
        (407_299, "four hundred seven thousand two hundred ninety nine"),
    ],
)
def test_numbers_are_words(number: int, words: str) -> None:
    assert number_in_words(number) == words


def test_utterances_are_of_their_split_and_always_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def beeps(library: Path, utterances: list[tuple]) -> tuple[int, list[np.ndarray]]:
        asked.extend(utterances)
        return 22050, [np.full(1000 + 10 * len(text), 9000, np.int16) for text, *_ in utterances]

    (tmp_path / "voice.so").touch()
    monkeypatch.setattr(spoken_numbers, "speak", beeps)
    splits = reader().samples(tmp_path, FIELDS)
    columns = splits["train"].read(np.arange(60))
    texts = columns["text"]
    assert asked == [], "texts alone ask for no voice"
    sounds = columns["sound"]
    assert [text for text, *_ in asked] == texts and len(set(texts)) > 45
    assert {voice for _, voice, *_ in asked} == {"en+m1", "en+f1"}
    assert sum("thousand" in text for text in texts) == 30, "as many of each count of digits"
    assert all(sound.dtype == np.float32 and 0.2 <= np.abs(sound).max() <= 0.9 for sound in sounds)
    one = splits["train"].read(np.array([17]))
    assert one["text"][0] == texts[17] and np.array_equal(one["sound"][0], sounds[17])
    assert splits["test"].read(np.array([17]))["text"] != texts[17:18]


def test_what_is_heard_is_resampled_and_a_little_later_with_silence_around() -> None:
    rng = np.random.default_rng(0)
    tone = (9000 * np.sin(2 * np.pi * 500 * np.arange(22050) / 22050)).astype(np.int16)
    sound = heard(tone, 22050, 8000, rng)
    assert 8000 + 2 * 160 <= len(sound) <= 8000 + 2 * 1600
    spectrum = np.abs(np.fft.rfft(sound))
    assert np.fft.rfftfreq(len(sound), 1 / 8000)[spectrum.argmax()] == pytest.approx(500, abs=2)


def test_what_cannot_speak_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "voice.so").write_bytes(b"nothing")
    samples = reader().samples(tmp_path, FIELDS)["test"]
    with pytest.raises(UserError, match="eSpeak's library cannot be loaded"):
        samples.read(np.array([0]))["sound"]
    with pytest.raises(UserError, match=r"voice\.so is missing"):
        reader().samples(tmp_path / "elsewhere", FIELDS)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"voices": {"train": ["m1"], "test": ["m1"]}}, "has 'm1' twice"),
        ({"voices": {"train": ["m1"]}}, r"numbers of \['test', 'train'\]"),
        ({"max_digits": 7}, "is not 1 to 6"),
    ],
)
def test_settings_that_cannot_be_are_one_line(changed: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        reader(**changed)
