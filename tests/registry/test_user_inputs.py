"""What users give: every kind of file, text and number as the model takes it, or one line."""

import io
from dataclasses import replace
from pathlib import Path

import numpy
import pytest
import soundfile
import torch
from PIL import Image

from modules.configuration.errors import UserError
from modules.registry.user_inputs import samples_of
from modules.tasks.served import ServedInput


def image_inputs(files: list[Path], shape: tuple[int, int, int]) -> torch.Tensor:
    taken = ServedInput("image", "image", shape)
    samples = [sample for file in files for sample in samples_of(taken, str(file))]
    return torch.from_numpy(numpy.stack([sample.values for sample in samples]))


def saved(image: Image.Image, file: Path, **options) -> Path:
    image.save(file, **options)
    return file


def test_an_image_of_the_right_size_arrives_pixel_by_pixel(tmp_path: Path) -> None:
    pixels = numpy.arange(64, dtype=numpy.uint8).reshape(8, 8) * 4
    file = saved(Image.fromarray(pixels), tmp_path / "a.png")
    assert torch.equal(image_inputs([file], (1, 8, 8))[0, 0], torch.from_numpy(pixels).float() / 255)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_kind_of_image_becomes_grey_or_colour(tmp_path: Path, mode: str, channels: int) -> None:
    grey = Image.new("L", (20, 10), 255)
    image = (
        Image.fromarray(numpy.full((10, 20), 65535, numpy.uint16)) if mode == "I;16" else grey.convert(mode)
    )
    file = saved(image, tmp_path / ("a.tif" if mode in ("CMYK", "I;16") else "a.png"))
    inputs = image_inputs([file], (channels, 6, 6))
    assert inputs.shape == (1, channels, 6, 6) and inputs.dtype == torch.float32
    torch.testing.assert_close(inputs, torch.ones_like(inputs))


def test_what_is_transparent_is_white_and_nothing_is_inverted(tmp_path: Path) -> None:
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    image.putpixel((0, 0), (0, 0, 0, 255))
    inputs = image_inputs([saved(image, tmp_path / "a.png")], (1, 4, 4))
    assert inputs[0, 0, 0, 0] == 0 and inputs[0, 0, 1:].min() == 1


def test_the_camera_s_turn_is_undone(tmp_path: Path) -> None:
    image = Image.new("L", (8, 8), 0)
    image.paste(255, (0, 0, 8, 4))
    exif = Image.Exif()
    exif[0x0112] = 3  # taken upside down
    file = saved(image, tmp_path / "a.png", exif=exif)
    inputs = image_inputs([file], (1, 8, 8))
    assert inputs[0, 0, 0].max() == 0 and inputs[0, 0, 7].min() == 1


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n" + bytes(40)])
def test_a_broken_image_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.png").write_bytes(content)
    with pytest.raises(UserError, match=r"bad\.png is no image") as raised:
        image_inputs([tmp_path / "bad.png"], (1, 8, 8))
    assert "\n" not in str(raised.value)


def test_a_truncated_image_is_one_line(tmp_path: Path) -> None:
    noise = numpy.random.default_rng(0).integers(0, 255, (40, 40), dtype=numpy.uint8)
    file = saved(Image.fromarray(noise), tmp_path / "cut.png")
    file.write_bytes(file.read_bytes()[:600])
    with pytest.raises(UserError, match="no image that can be read"):
        image_inputs([file], (1, 8, 8))


IMAGE = ServedInput("image", "image", (1, 4, 4))
SOUND = ServedInput("sound", "sound", ("time",), sample_rate_hz=8000)
VOCABULARY = {
    "kind": "words",
    "tokens": ["<padding>", "<unknown>", "<begin>", "<end>", "what", "a", "day"],
    "lower_case": True,
    "merges": [],
}
TEXT = ServedInput("text", "text", ("time",), VOCABULARY)
CLIP = ServedInput("clip", "clip", ("frames", 1, 4, 4))
NUMBERS = ServedInput("numbers", "vector", (2,))


def test_a_folder_gives_its_images_by_name(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG"):
        Image.new("L", (4, 4)).save(tmp_path / name)
    (tmp_path / "notes.txt").touch()
    assert [Path(sample.label).name for sample in samples_of(IMAGE, str(tmp_path))] == ["a.JPG", "b.png"]


def test_an_image_keeps_its_size_where_the_model_takes_any(tmp_path: Path) -> None:
    file = saved(Image.new("RGB", (7, 5), "white"), tmp_path / "a.png")
    (sample,) = samples_of(ServedInput("image", "image", (1, "height", "width")), str(file))
    assert sample.values.shape == (1, 5, 7) and sample.values.min() == 1


def test_a_text_is_the_argument_a_file_or_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.txt").write_text("What a day\n")
    monkeypatch.setattr("sys.stdin", io.StringIO("what a day\n"))
    for given in ("what a day", str(tmp_path / "a.txt"), "-"):
        (sample,) = samples_of(TEXT, given)
        assert sample.values.tolist() == [2, 4, 5, 6, 3]
        assert not sample.note
    assert samples_of(TEXT, "what a pity")[0].note == (
        "'what a pity': 1 of 3 tokens are not in the model's vocabulary"
    )
    (written,) = samples_of(replace(TEXT, ends=False), "a day")
    assert written.values.tolist() == [2, 5, 6], "what goes on writing is not ended"
    assert len(samples_of(TEXT, "day " * 2000)[0].values) == 2002, "longer than a path can be"


def sound(file: Path, samples: numpy.ndarray, rate: int = 8000) -> Path:
    soundfile.write(file, samples, rate)
    return file


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_a_sound_arrives_sample_by_sample(tmp_path: Path, suffix: str) -> None:
    wave = 0.5 * numpy.sin(numpy.arange(800) / 9)
    (sample,) = samples_of(SOUND, str(sound(tmp_path / f"a.{suffix}", wave)))
    assert sample.values.shape == (800,) and sample.values.dtype == numpy.float32
    if suffix != "ogg":  # which loses something
        numpy.testing.assert_allclose(sample.values, wave, atol=1e-4)


def test_a_clip_is_an_animated_image_or_a_folder_of_frames(tmp_path: Path) -> None:
    frames = [Image.new("L", (4, 4), 60 * number) for number in range(3)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    (tmp_path / "b").mkdir()
    for number, frame in enumerate(frames):
        frame.save(tmp_path / "b" / f"{number}.png")
    for name in ("a.png", "b"):
        (sample,) = samples_of(CLIP, str(tmp_path / name))
        assert sample.values.shape == (3, 1, 4, 4)
        assert (sample.values[:, 0, 0, 0] * 255).round().tolist() == [0, 60, 120]


def test_numbers_are_an_argument_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[1, 2.5]")
    numpy.save(tmp_path / "a.npy", numpy.array([1, 2.5]))
    for given in ("[1, 2.5]", str(tmp_path / "a.json"), str(tmp_path / "a.npy")):
        assert samples_of(NUMBERS, given)[0].values.tolist() == [1, 2.5]


@pytest.mark.parametrize("rate", [16000, 6000])
def test_a_sound_of_another_rate_is_resampled_and_that_is_said(tmp_path: Path, rate: int) -> None:
    """Over whole periods the Fourier transform is exact; what the wanted rate cannot hold is left out."""
    time = numpy.arange(rate) / rate
    low = 0.5 * numpy.sin(2 * numpy.pi * 440 * time)
    (sample,) = samples_of(
        SOUND,
        str(sound(tmp_path / "a.wav", low + 0.2 * numpy.sin(1e4 * numpy.pi * time) * (rate > 8000), rate)),
    )
    expected = 0.5 * numpy.sin(2 * numpy.pi * 440 * numpy.arange(8000) / 8000)
    numpy.testing.assert_allclose(sample.values, expected, atol=1e-4)
    assert sample.values.dtype == numpy.float32
    assert f"a.wav is resampled from {rate} to 8000 samples/s" in sample.note


def given(folder: Path) -> None:
    """Files of every kind, each wrong in its way."""
    Image.new("L", (4, 4)).save(folder / "image.png")
    (folder / "empty").mkdir()
    (folder / "blank.txt").write_text("\n")
    (folder / "latin.txt").write_bytes(b"caf\xe9")
    (folder / "no.wav").write_text("no sound")
    (folder / "film.mp4").touch()
    (folder / "bad.json").write_text("[1, ")
    sound(folder / "silent.wav", numpy.zeros(80))
    sound(folder / "nothing.wav", numpy.zeros(0))
    sound(folder / "stereo.wav", numpy.ones((80, 2)) / 2)


@pytest.mark.parametrize(
    ("taken", "name", "message"),
    [
        (IMAGE, "nowhere.png", "nowhere.png does not exist"),
        (IMAGE, "empty", "empty holds no image"),
        (IMAGE, "silent.wav", "silent.wav holds sounds, and the model takes images"),
        (TEXT, "", "the text is empty"),
        (TEXT, "blank.txt", "the text is empty"),
        (TEXT, "latin.txt", "is no text in UTF-8"),
        (TEXT, "image.png", "image.png holds images, and the model takes texts"),
        (TEXT, "nowhere.txt", "nowhere.txt does not exist"),
        (SOUND, "silent.wav", "the sound is silent"),
        (SOUND, "nothing.wav", "the sound holds no sample"),
        (SOUND, "stereo.wav", "the sound has 2 channels, and the model takes one"),
        (SOUND, "no.wav", "no sound file that can be read"),
        (SOUND, "image.png", "image.png holds images, and the model takes sounds"),
        (CLIP, "empty", "empty holds no frame"),
        (CLIP, "film.mp4", "is a video, which is not decoded here"),
        (CLIP, "blank.txt", "blank.txt holds texts, and the model takes clips"),
        (replace(CLIP, shape=(16, 1, 4, 4)), "image.png", "has 1 frames, and the model takes 16"),
        (NUMBERS, "[1, 2, 3]", "is of shape [3], and the model takes [2]"),
        (NUMBERS, "[1, ", "is no list of numbers"),
        (NUMBERS, "bad.json", "is no list of numbers"),
        (NUMBERS, '["a", "b"]', "and the model takes [2]"),
    ],
)
def test_what_is_no_sample_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: ServedInput, name: str, message: str
) -> None:
    given(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as raised:
        samples_of(taken, name)
    assert message in str(raised.value) and "\n" not in str(raised.value)


def test_rows_of_a_table_are_answered_each(tmp_path: Path) -> None:
    row = ServedInput("features", "vector", (3,))
    (tmp_path / "t.csv").write_text("a,b,c\n1,2,3\n4,5,6.5\n")
    found = samples_of(row, str(tmp_path / "t.csv"))
    assert [sample.values.tolist() for sample in found] == [[1, 2, 3], [4, 5, 6.5]]
    assert [sample.label for sample in found] == [f"{tmp_path / 't.csv'}:{line}" for line in (2, 3)]
    (typed,) = samples_of(row, "1, 2,3")
    assert typed.values.tolist() == [1, 2, 3] and typed.values.dtype == numpy.float32
    for content, message in (
        ("1,2,3,a\n", "t.csv:1: 'a' is no number. Leave out what the model does not take"),
        ("1,2\n", r"t.csv:1 is of shape \[2\], and the model takes \[3\]"),
        ("a,b,c\n", "holds no row of numbers"),
    ):
        (tmp_path / "t.csv").write_text(content)
        with pytest.raises(UserError, match=message):
            samples_of(row, str(tmp_path / "t.csv"))


def test_a_damaged_clip_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "clip.gif").write_bytes(b"GIF8")
    clip = ServedInput("clip", "clip", ("frames", 3, 4, 4))
    with pytest.raises(UserError, match=r"clip\.gif is no animated image .*\(of no format that Pillow knows"):
        samples_of(clip, str(tmp_path / "clip.gif"))
