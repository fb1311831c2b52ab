"""Animated emoji: their frames, as far apart as may be, and their names."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings, VocabularySettings
from modules.datamodules.formats.clip_folder import read_clip
from modules.datamodules.formats.emoji_clips import EmojiClipsReader

FIELDS = {
    "clip": FieldSettings("uint8", ["frames", 3, 8, 8], ["time", "channel", "height", "width"], "level"),
    "caption": FieldSettings(
        "int64", ["words"], ["time"], "token", vocabulary=VocabularySettings("words", 100)
    ),
}


def clip(path: Path, num_frames: int) -> None:
    """Frames of rising levels; the first one of a longer clip transparent."""
    frames = [
        Image.new("RGBA", (10, 10), (10 * n, 10 * n, 10 * n, 255 if n else 0)) for n in range(num_frames)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    frames[0].save(path, save_all=True, append_images=frames[1:], lossless=True)


def emoji(folder: Path) -> Path:
    names = [{"hexcode": "1F44B", "label": "waving hand"}, {"hexcode": "00A9-FE0F", "label": "copyright"}]
    (folder / "data.json").write_text(json.dumps(names))
    clip(folder / "assets/1f44b.webp", 20)
    clip(folder / "assets/00a9.webp", 1)
    clip(folder / "assets/1f999.webp", 2)
    return folder


def test_clips_have_their_names_and_no_more_frames_than_are_wanted(tmp_path: Path) -> None:
    samples = EmojiClipsReader("assets", "data.json", 4).samples(emoji(tmp_path), FIELDS)["train"]
    assert list(samples.keys) == ["00a9", "1f44b"]
    assert list(samples.notes) == ["1 of 3 images have no name and are left out"]
    found = samples.read(np.array([1, 0]))
    assert found["caption"] == ["waving hand", "copyright"]
    assert [one.shape for one in found["clip"]] == [(4, 3, 8, 8), (1, 3, 8, 8)]
    # The first frame is transparent, and so white.
    assert found["clip"][0][:, 0, 4, 4].tolist() == [255, 50, 100, 150]


@pytest.mark.parametrize(
    ("max_frames", "taken"), [(None, range(7)), (7, range(7)), (9, range(7)), (3, (0, 2, 4))]
)
def test_frames_are_taken_as_far_apart_as_may_be(
    tmp_path: Path, max_frames: int | None, taken: tuple[int, ...]
) -> None:
    clip(tmp_path / "a.webp", 7)
    found = read_clip(tmp_path / "a.webp", 3, 8, 8, max_frames)
    assert found[1:, 0, 0, 0].tolist() == [10 * number for number in taken[1:]]


def test_what_cannot_be_is_one_line(tmp_path: Path) -> None:
    raw = emoji(tmp_path)
    with pytest.raises(UserError, match="takes no frame"):
        EmojiClipsReader("assets", "data.json", 0)
    with pytest.raises(UserError, match="Describe clip"):
        EmojiClipsReader("assets", "data.json").samples(raw, {"clip": FIELDS["clip"]})
    (raw / "assets/1f44b.webp").write_bytes(b"RIFF no clip")
    samples = EmojiClipsReader("assets", "data.json").samples(raw, FIELDS)["train"]
    with pytest.raises(UserError, match=r"1f44b\.webp is no clip that can be read") as raised:
        samples.read(np.array([1]))
    assert "\n" not in str(raised.value)
