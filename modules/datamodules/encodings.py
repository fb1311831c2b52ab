"""How one field of a record is written: as an array (npy), or one image a record as PNG or JPEG.

No pickle is ever written or read: arrays of Python objects are refused in both directions.
"""

import functools
import io
import mmap
import tokenize

import numpy as np
from PIL import Image

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings

MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""Pillow's mode for a number of channels."""
_PICTURES = {"png": {"format": "PNG"}, "jpg": {"format": "JPEG", "quality": 95}}
_MAX_HEADER_BYTES = 1024


def encode(array: np.ndarray, encoding: str) -> bytes:
    """The bytes of one field of a record."""
    written = io.BytesIO()
    if encoding == "npy":
        np.lib.format.write_array(written, np.asarray(array, order="C"), version=(1, 0), allow_pickle=False)
    else:
        channels, height, width = array.shape
        pixels = array.transpose(1, 2, 0).reshape(
            (height, width) if channels == 1 else (height, width, channels)
        )
        Image.fromarray(np.ascontiguousarray(pixels)).save(written, **_PICTURES[encoding])
    return written.getvalue()


def decode_image(content: bytes, shape: tuple[int, ...], encoding: str) -> np.ndarray:
    """The image in `content`, if it is of the right format, size and channels.

    Raises:
        ValueError: if it is not; nothing is decoded before its size is known.
    """
    channels, height, width = shape
    try:
        with Image.open(io.BytesIO(content), formats=[_PICTURES[encoding]["format"]]) as image:
            if image.size != (width, height) or image.mode != MODES[channels]:
                raise ValueError(f"it is {image.mode} {image.size}")
            pixels = np.asarray(image)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(str(error)) from error
    return pixels.reshape(height, width, channels).transpose(2, 0, 1)


def npy_header(content: bytes | mmap.mmap, start: int, size: int) -> bytes:
    """The first bytes of the npy file at `start`, up to the array's elements, as far as they are there."""
    length = 10 + int.from_bytes(content[start + 8 : start + 10], "little")
    return bytes(content[start : start + min(length, size, 10 + _MAX_HEADER_BYTES)])


@functools.lru_cache(maxsize=64)
def read_npy_header(content: bytes) -> tuple[int, np.dtype, tuple[int, ...]]:
    """Where an npy file's elements start, their type and the array's shape, from the file's first bytes.

    Raises:
        ValueError: if it is no npy file, holds Python objects (a pickle), or is laid out by columns.
    """
    file = io.BytesIO(content)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("it is no npy file of version 1.0")
    try:
        shape, by_columns, dtype = np.lib.format.read_array_header_1_0(
            file, max_header_size=_MAX_HEADER_BYTES
        )
    except tokenize.TokenError as error:  # NumPy's own reading of a header that Python does not take
        raise ValueError("its header is damaged") from error
    if dtype.hasobject:
        raise ValueError("it holds Python objects, that is a pickle")
    if by_columns:
        raise ValueError("it is laid out by columns")
    return file.tell(), dtype, shape


def check_encoding(name: str, field: FieldSettings, samples_per_record: int) -> None:
    """Refuse a field whose encoding can't carry it.

    Raises:
        UserError: naming the key and what it may be.
    """
    if field.encoding == "npy":
        return
    image = field.dtype == "uint8" and len(field.shape) == 3
    if not image or field.shape[0] not in ((1, 3) if field.encoding == "jpg" else MODES):
        raise UserError(f"fields.{name} is no image that {field.encoding} can hold", "Use encoding: npy")
    if samples_per_record != 1:
        raise UserError(
            f"fields.{name}: {field.encoding} with {samples_per_record=}", "Set samples_per_record: 1"
        )
