"""Images in: every kind of file fitted to the model."""

from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image

from modules.configuration.errors import UserError
from modules.registry.user_images import find_images, image_inputs


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


def test_a_model_of_something_else_takes_no_image(tmp_path: Path) -> None:
    file = saved(Image.new("L", (4, 4)), tmp_path / "a.png")
    with pytest.raises(UserError, match=r"\[12\], which are no images"):
        image_inputs([file], (12,))


def test_a_folder_gives_its_images_by_name(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "notes.txt", "c.gif"):
        (tmp_path / name).touch()
    assert [file.name for file in find_images(tmp_path)] == ["a.JPG", "b.png", "c.gif"]
    assert find_images(tmp_path / "b.png") == [tmp_path / "b.png"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no image"):
        find_images(tmp_path / "empty")
    with pytest.raises(UserError, match="does not exist"):
        find_images(tmp_path / "nowhere.png")
