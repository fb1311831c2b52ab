"""Sounds, clips and images of any size, one folder a class."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings, SplitSettings, VocabularySettings
from modules.datamodules.formats.clip_folder import ClipFolderReader
from modules.datamodules.formats.image_folder import ImageFolderReader
from modules.datamodules.formats.sound_folder import SoundFolderReader
from modules.datamodules.formats.text_files import TextFilesReader
from modules.datamodules.shard_writer import split_samples
from tests.datamodules.ragged_data import FIELDS

LABEL = FieldSettings("int64", [], [], "class", classes=["one", "two"])
RATE = 8000


def sound(**changes: Any) -> dict[str, FieldSettings]:
    return {"sound": FieldSettings(**FIELDS["sound"] | changes), "label": LABEL}


def write_sound(path: Path, samples: np.ndarray, rate: int = RATE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate)


@pytest.fixture
def tone() -> np.ndarray:
    return (0.5 * np.sin(np.arange(400) / 7)).astype(np.float32)


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg"])
def test_sounds_of_every_format(tmp_path: Path, tone: np.ndarray, ending: str) -> None:
    write_sound(tmp_path / "one" / f"a.{ending}", tone)
    write_sound(tmp_path / "two" / f"b.{ending}", tone[:300])
    samples = SoundFolderReader().samples(tmp_path, sound())["train"]
    read = samples.read(np.arange(2))
    assert list(samples.keys) == [f"one/a.{ending}", f"two/b.{ending}"]
    assert [len(one) for one in read["sound"]] == [400, 300]
    assert read["label"].tolist() == [0, 1]
    np.testing.assert_allclose(read["sound"][0], tone, atol=0.1 if ending == "ogg" else 1e-4)


@pytest.mark.parametrize(
    ("samples", "rate", "message"),
    [
        (np.zeros(50), RATE, "is silent"),
        (np.zeros(0), RATE, "holds no sample"),
        (np.ones((50, 2)) / 2, RATE, "has 2 channels, and mono is wanted"),
        (np.ones(50) / 2, 16000, "has 16000 samples a second, not 8000"),
    ],
)
def test_a_sound_that_is_not_wanted_is_named(
    tmp_path: Path, samples: np.ndarray, rate: int, message: str
) -> None:
    write_sound(tmp_path / "one" / "a.wav", samples, rate)
    write_sound(tmp_path / "two" / "b.wav", np.ones(50) / 2)
    with pytest.raises(UserError, match=rf"one/a\.wav {message}"):
        SoundFolderReader().samples(tmp_path, sound())


def test_clips_have_as_many_frames_as_their_files(tmp_path: Path) -> None:
    fields = {"clip": FieldSettings(**FIELDS["clip"] | {"shape": ["frames", 3, 4, 6]}), "label": LABEL}
    for number, name in enumerate(["one", "two"], 2):
        (tmp_path / name).mkdir()
        frames = [Image.new("RGB", (12, 8), (60 * frame, 0, 200)) for frame in range(number)]
        frames[0].save(tmp_path / name / "clip.gif", save_all=True, append_images=frames[1:])
    samples = ClipFolderReader().samples(tmp_path, fields)["train"]
    clips = samples.read(np.arange(2))["clip"]
    assert [clip.shape for clip in clips] == [(2, 3, 4, 6), (3, 3, 4, 6)]
    assert [int(frame[0, 2, 3]) for frame in clips[1]] == pytest.approx([0, 60, 120], abs=8)
    (tmp_path / "one" / "clip.gif").write_bytes(b"GIF89a no clip")
    with pytest.raises(UserError, match=r"one/clip\.gif is no clip that can be read"):
        ClipFolderReader().samples(tmp_path, fields)


def test_images_keep_their_size_where_it_has_a_name(tmp_path: Path) -> None:
    for name, size in (("one", (12, 8)), ("two", (5, 7))):
        (tmp_path / name).mkdir()
        Image.new("RGB", size, (9, 8, 7)).save(tmp_path / name / "a.png")
    field = FieldSettings(**FIELDS["image"])
    samples = ImageFolderReader().samples(tmp_path, {"image": field, "label": LABEL})["train"]
    assert [image.shape for image in samples.read(np.arange(2))["image"]] == [(3, 8, 12), (3, 7, 5)]
    one_name = FieldSettings(**FIELDS["image"] | {"shape": [3, "height", 8]})
    with pytest.raises(UserError, match="names one size"):
        ImageFolderReader().samples(tmp_path, {"image": one_name, "label": LABEL})


@pytest.mark.parametrize("changes", [{"dtype": "int16"}, {"sample_rate_hz": None}])
def test_a_field_that_holds_no_sound_is_refused(tmp_path: Path, changes: dict) -> None:
    with pytest.raises(UserError, match=r"fields\.sound is"):
        SoundFolderReader().samples(tmp_path, sound(**changes))


def levels(path: Path, level: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), (level, 0, 0)).save(path)


IMAGES = {"image": FieldSettings(**FIELDS["image"] | {"shape": [3, 4, 4]}), "label": LABEL}


def test_what_is_left_out_is_said_with_the_reason(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    levels(elsewhere / "b.png", 2)
    raw = tmp_path / "raw"
    for number, name in enumerate(["one/a.png", "two/c.png", "one/.ipynb_checkpoints/a.png", "three/d.png"]):
        levels(raw / name, number)
    (raw / "one" / "linked").symlink_to(elsewhere)
    (raw / "two" / "again").symlink_to(raw)
    for name in ("one/a.heic", "source.json", "LICENSE"):
        (raw / name).write_text("{}")
    samples = ImageFolderReader().samples(raw, IMAGES)["train"]
    assert list(samples.keys) == ["one/a.png", "one/linked/b.png", "two/c.png"]
    endings = ".bmp .gif .jpeg .jpg .pgm .png .ppm .tif .tiff .webp"
    assert samples.notes == [
        "1 file (one/.ipynb_checkpoints/a.png) left out, hidden",
        "1 file (LICENSE) left out, in no class folder",
        f"1 file (one/a.heic) left out, not of an ending that is read ({endings})",
        "1 file (three/d.png) left out, in a folder that fields.label.classes does not name",
    ]


def test_equal_images_lie_in_one_split_whatever_their_format(tmp_path: Path) -> None:
    for number in range(60):
        levels(tmp_path / ("one", "two")[number % 2] / f"{number}.png", number)
        levels(tmp_path / ("one", "two")[number % 2] / "copies" / f"{number}.bmp", number)
    samples = ImageFolderReader().samples(tmp_path, IMAGES)["train"]
    chosen = split_samples({"train": samples}, {"test": SplitSettings("train", 0.4)})
    pixels = {
        name: {bytes(image) for image in samples.read(numbers)["image"]}
        for name, (_, numbers) in chosen.items()
    }
    assert len(pixels["train"]) + len(pixels["test"]) == 60 and not pixels["train"] & pixels["test"]
    assert samples.notes == [
        "60 of 120 samples hold the same as another (one/copies/0.bmp as one/0.png):"
        " equal ones lie in one split"
    ]


def test_all_damaged_files_are_named_at_once_or_left_out(tmp_path: Path) -> None:
    for number, name in enumerate(["one/a.png", "two/c.png", "two/d.png"]):
        levels(tmp_path / name, number)
    for name in ("one/a.jpg", "two/c.png"):
        (tmp_path / name).write_bytes(b"no image")
    with pytest.raises(UserError, match=r"2 files cannot be used: .*one/a\.jpg .*two/c\.png .*on_bad_file"):
        ImageFolderReader().samples(tmp_path, IMAGES)
    samples = ImageFolderReader(on_bad_file="skip").samples(tmp_path, IMAGES)["train"]
    assert list(samples.keys) == ["one/a.png", "two/d.png"]
    assert samples.notes == ["2 files (one/a.jpg, two/c.png) left out, cannot be read"]


def test_texts_say_what_they_leave_out(tmp_path: Path) -> None:
    words = VocabularySettings("words", 20)
    text = {"text": FieldSettings("int64", ["time"], ["time"], "token", vocabulary=words)}
    for name, content in (("a.txt", b"one"), ("b.txt", b"one"), ("c.md", b"two"), ("d.txt", b"\n")):
        (tmp_path / name).write_bytes(content)
    (tmp_path / "e.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match=r"e\.txt is no text in UTF-8"):
        TextFilesReader().samples(tmp_path, text)
    samples = TextFilesReader(on_bad_file="skip").samples(tmp_path, text)["train"]
    assert list(samples.keys) == ["a.txt", "b.txt"] and list(samples.places) == ["one", "one"]
    assert samples.notes == [
        "1 file (c.md) left out, not what reader.files takes (**/*.txt)",
        "1 file (e.txt) left out, cannot be read",
        "1 file (d.txt) left out, blank",
        "1 of 2 samples hold the same as another (b.txt as a.txt): equal ones lie in one split",
    ]
