"""Images with a text each: files with a sentence beside them, and emoji with their names."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings, VocabularySettings
from modules.datamodules.formats.captioned_files import CaptionedFilesReader
from modules.datamodules.formats.emoji import EmojiReader

FIELDS = {
    "image": FieldSettings("uint8", [3, 8, 8], ["channel", "height", "width"], "level"),
    "caption": FieldSettings(
        "int64", ["words"], ["time"], "token", vocabulary=VocabularySettings("words", 100)
    ),
}


def image(path: Path, colour: tuple[int, int, int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGBA", (10, 10), colour).save(path)


def test_a_sentence_beside_each_image(tmp_path: Path) -> None:
    image(tmp_path / "things/a/cat.png", (255, 0, 0, 255))
    (tmp_path / "things/a/cat.txt").write_text("A cat.\nfr.utf8=Un chat.\n")
    image(tmp_path / "things/b.png", (0, 0, 0, 0))
    (tmp_path / "things/b.txt").write_text("Nothing.\n")
    image(tmp_path / "things/alone.png", (0, 0, 0, 255))
    samples = CaptionedFilesReader("things").samples(tmp_path, FIELDS)["train"]
    assert list(samples.keys) == ["a/cat.png", "b.png"]
    assert list(samples.places) == ["A cat.", "Nothing."]
    assert list(samples.notes) == ["1 of 3 images have no text and are left out"]
    found = samples.read(np.array([1, 0]))
    assert found["caption"] == ["Nothing.", "A cat."]
    assert (found["image"][0] == 255).all()
    assert found["image"][1].reshape(3, -1).max(1).tolist() == [255, 0, 0]


def emoji(tmp_path: Path) -> Path:
    names = [
        {
            "hexcode": "1F44B",
            "label": "waving hand",
            "skins": [{"hexcode": "1F44B-1F3FB", "label": "pale hand"}],
        },
        {"hexcode": "00A9-FE0F", "label": "copyright"},
    ]
    (tmp_path / "data.json").write_text(json.dumps(names))
    for name in ("1f44b", "1f44b-1f3fb", "a9-fe0f", "00a9", "1f999"):
        image(tmp_path / f"assets/{name}.webp", (0, 0, 255, 255))
    return tmp_path


def test_emoji_are_named_by_their_code_points(tmp_path: Path) -> None:
    samples = EmojiReader("assets", "data.json").samples(emoji(tmp_path), FIELDS)["train"]
    named = dict(zip(samples.keys, samples.read(np.arange(3))["caption"], strict=True))
    assert named == {"00a9": "copyright", "1f44b": "waving hand", "1f44b-1f3fb": "pale hand"}
    # A variant lies where its design lies.
    assert list(samples.places) == ["00a9", "1f44b", "1f44b"]
    assert list(samples.notes) == [
        "1 of 5 images show one that another shows and are left out",
        "1 of 5 images have no name and are left out",
    ]


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    raw = emoji(tmp_path)
    (raw / "empty").mkdir()
    with pytest.raises(UserError, match=r"holds no \.webp"):
        EmojiReader("empty", "data.json").samples(raw, FIELDS)
    (raw / "wrong.json").write_text('{"a": 1}')
    with pytest.raises(UserError, match="is no list of names"):
        EmojiReader("assets", "wrong.json").samples(raw, FIELDS)
    with pytest.raises(UserError, match=r"no image in .* has a text beside it"):
        CaptionedFilesReader("empty").samples(raw, FIELDS)
    with pytest.raises(UserError, match="of one size, and caption"):
        CaptionedFilesReader("assets").samples(raw, {"image": FIELDS["image"]})
