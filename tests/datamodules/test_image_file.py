"""Images of every sample format come out with the levels that their own type means, or are refused."""

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modules.configuration.errors import UserError
from modules.datamodules.image_file import read_whole_image

GREY = np.array([[0, 64, 128, 255]], np.uint8)
DEEP = GREY.astype(np.uint16) * 257


def pgm(path: Path, levels: np.ndarray, white: int) -> None:
    path.write_bytes(b"P5 %d %d %d\n" % (levels.shape[1], levels.shape[0], white) + levels.tobytes())


def tiff(path: Path, levels: np.ndarray, bits: int, photometric: int) -> None:
    """A TIFF of one row, by hand: Pillow writes neither 12 bits nor levels that count from white."""
    content = levels.astype("<u2").tobytes()
    if bits == 12:
        ones = "".join(f"{level:012b}" for level in levels.ravel())
        content = bytes(int(ones[start : start + 8], 2) for start in range(0, len(ones), 8))
    tags = [(256, 3, levels.shape[1]), (257, 3, levels.shape[0]), (258, 3, bits), (259, 3, 1)]
    tags += [
        (262, 3, photometric),
        (273, 4, 8),
        (277, 3, 1),
        (278, 3, levels.shape[0]),
        (279, 4, len(content)),
    ]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    path.write_bytes(b"II*\0" + struct.pack("<I", 8 + len(content)) + content + directory)


def test_deep_greys_keep_their_levels(tmp_path: Path) -> None:
    pgm(tmp_path / "16.pgm", DEEP.astype(">u2"), 65535)
    pgm(tmp_path / "10.pgm", (GREY.astype(int) * 1023 // 255).astype(">u2"), 1023)
    Image.fromarray(DEEP).save(tmp_path / "16.png")
    Image.fromarray(DEEP).save(tmp_path / "little.tif")
    Image.fromarray(DEEP.astype(">u2")).save(tmp_path / "big.tif")
    tiff(tmp_path / "12.tif", GREY.astype(int) * 4095 // 255, 12, 1)
    tiff(tmp_path / "from_white.tif", 65535 - DEEP, 16, 0)
    for path in sorted(tmp_path.iterdir()):
        for channels in (1, 3, 4):
            read = read_whole_image(path, channels)
            assert read.shape == (channels, 1, 4), path
            np.testing.assert_allclose(read[0].astype(int), GREY.astype(int), atol=1, err_msg=str(path))
            if channels == 4:
                assert (read[3] == 255).all()


def test_a_transparent_level_of_sixteen_bits_is_laid_on_white(tmp_path: Path) -> None:
    Image.fromarray(DEEP).save(tmp_path / "a.png", transparency=64 * 257)
    assert read_whole_image(tmp_path / "a.png", 1).tolist() == [[[0, 255, 128, 255]]]
    assert read_whole_image(tmp_path / "a.png", 4)[3].tolist() == [[255, 0, 255, 255]]


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB"])
def test_every_mode_gives_the_colour_that_it_means(tmp_path: Path, mode: str) -> None:
    colour = (255, 255, 255) if mode == "1" else (90, 90, 90) if mode in ("L", "LA") else (200, 40, 90)
    plain = Image.new("RGB", (3, 2), colour)
    by_way_of = {"LA": "L", "P": "RGB", "PA": "P", "LAB": "RGB"}.get(mode, mode)
    image = plain.quantize() if mode in ("P", "PA") else plain.convert(by_way_of).convert(mode)
    if mode == "PA":
        image = image.convert("PA")
    image.save(tmp_path / "a.tif")
    for channels, wanted in ((1, "L"), (3, "RGB"), (4, "RGBA")):
        read = read_whole_image(tmp_path / "a.tif", channels)
        right = np.asarray(plain.convert(wanted)).reshape(2, 3, channels).transpose(2, 0, 1)
        np.testing.assert_allclose(read.astype(int), right.astype(int), atol=4)


@pytest.mark.parametrize("array", [GREY.astype(np.float32) / 255, GREY.astype(np.int32) * 2**20])
def test_levels_without_a_range_are_refused(tmp_path: Path, array: np.ndarray) -> None:
    Image.fromarray(array).save(tmp_path / "a.tif")
    with pytest.raises(
        UserError, match=r"a\.tif is no image that can be read \(levels of mode . have no range"
    ):
        read_whole_image(tmp_path / "a.tif", 1)


def test_exif_turns_an_image_and_a_wrong_type_of_it_is_left(tmp_path: Path) -> None:
    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
    for ending in ("png", "tif"):
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.fromarray(pixels).save(tmp_path / f"a.{ending}", exif=exif)
        assert read_whole_image(tmp_path / f"a.{ending}", 1)[0].tolist() == np.rot90(pixels, -1).tolist()
    text = struct.pack("<HHHI4sI", 1, 0x0112, 2, 4, b"up", 0)
    exif = b"Exif\0\0II*\0\x08\0\0\0" + text
    Image.fromarray(pixels).save(tmp_path / "wrong.png", exif=exif)
    assert read_whole_image(tmp_path / "wrong.png", 1)[0].tolist() == pixels.tolist()
