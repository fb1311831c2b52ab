"""Prompts: texts as they are said, by their recordings; equal texts are of one place."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import soundfile

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings, VocabularySettings
from modules.datamodules.formats.spoken_prompts import SpokenPromptsReader

FIELDS = {
    "sound": FieldSettings("float32", ["time"], ["time"], "pressure", sample_rate_hz=8000),
    "text": FieldSettings(
        "int64", ["time"], ["time"], "token", vocabulary=VocabularySettings("characters", 32)
    ),
}
LIST = """; a comment: not said
press: Press 1, or 20;  don't wait.
beep: [a tone]
no-recording: Nobody says this.
digits/press: press one or two zero don't wait
long: Long."""


def test_texts_are_written_as_they_are_said(tmp_path: Path) -> None:
    (tmp_path / "list.gz").write_bytes(gzip.compress(LIST.encode()))
    (tmp_path / "en" / "digits").mkdir(parents=True)
    for name, samples in {"press": 40, "beep": 40, "digits/press": 30, "long": 90}.items():
        soundfile.write(tmp_path / "en" / f"{name}.wav", np.full(samples, 0.25), 8000)
    samples = SpokenPromptsReader("list.gz", "en", max_s=0.01).samples(tmp_path, FIELDS)["train"]
    assert list(samples.keys) == ["digits/press", "press"]
    assert list(samples.places) == ["press one or two zero don't wait"] * 2
    read = samples.read(np.array([1]))
    assert read["text"] == ["press one or two zero don't wait"]
    np.testing.assert_array_equal(read["sound"][0], np.full(40, 0.25, np.float32))


def test_a_list_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "list.gz").write_bytes(b"nothing")
    (tmp_path / "en").mkdir()
    with pytest.raises(UserError, match=r"list\.gz is no text compressed by gzip"):
        SpokenPromptsReader("list.gz", "en").samples(tmp_path, FIELDS)
