"""An image file of any size as the numbers a model takes: the same for training and for prediction."""

import struct
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from modules.configuration.errors import UserError
from modules.datamodules.encodings import MODES
from modules.datamodules.tar_member import TarMember, open_file

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""How an image is made upright, by its EXIF orientation."""
_BY_WAY_OF = {"La": ("LA",), "RGBa": ("RGBA",), "LAB": ("RGB",)}
UNREADABLE = (
    UnidentifiedImageError,
    Image.DecompressionBombError,
    OSError,
    EOFError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    struct.error,
)
"""What Pillow raises for a file that is damaged, or whose tags are."""
_BITS, _PHOTOMETRIC = 258, 262
"""Tags of a TIFF: bits a sample, and what its levels mean."""


def read_image(
    path: Path | TarMember, channels: int, height: int, width: int, margin: float = 0.0
) -> np.ndarray:
    """An image as uint8 [channel, height, width].

    Turned upright by its EXIF mark; laid on white where it is transparent and the model takes no alpha; made
    grey or colour; its middle cut to the wanted proportions and resized. Never inverted: a model that learned
    white on black must be shown white on black.

    Args:
        path: of the image.
        channels: wanted: 1, 3 or 4.
        height: in pixels.
        width: in pixels.
        margin: the share of the image that is cut off at each side first, such as a painting's frame.

    Raises:
        UserError: if the file is no image, or of levels without a range.
    """
    fitted = ImageOps.fit(_opened(path, channels), (width, height), Image.Resampling.BILINEAR, margin)
    return np.asarray(fitted).reshape(height, width, channels).transpose(2, 0, 1)


def read_whole_image(path: Path | TarMember, channels: int) -> np.ndarray:
    """The same in its own size.

    Raises:
        UserError: if the file is no image, or of levels without a range.
    """
    pixels = np.asarray(_opened(path, channels))
    return pixels.reshape(*pixels.shape[:2], channels).transpose(2, 0, 1)


def eight_bits(image: Image.Image, channels: int) -> Image.Image:
    """An image made grey or colour, turned upright, and laid on white where it is transparent and no alpha is
    wanted.

    Args:
        image: as it was opened; its format says what range its levels have.
        channels: wanted: 1, 3 or 4.

    Raises:
        ValueError: its levels have no range of their own (32 bits, fractions).
    """
    white = _white_level(image)
    transparent, inverted = image.info.get("transparency"), _white_is_zero(image)
    image.load()  # Pillow turns a TIFF itself when it is loaded, and forgets its orientation
    if (turn := _TURNS.get(_orientation(image))) is not None:
        image = image.transpose(turn)
    if white is not None:
        # Pillow itself would cut off what is above 255.
        levels = np.asarray(image).astype(np.int64)
        grey = np.clip(levels * 255 // white, 0, 255).astype(np.uint8)
        image = Image.fromarray(255 - grey if inverted else grey)
        if isinstance(transparent, int):
            image.putalpha(Image.fromarray(np.where(levels == transparent, 0, 255).astype(np.uint8)))
    # What Pillow converts to some modes only.
    for mode in _BY_WAY_OF.get(image.mode, ()):
        image = image.convert(mode)
    if image.has_transparency_data and channels != 4:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(MODES[channels])


def _white_level(image: Image.Image) -> int | None:
    """The highest level of an image of more than eight bits; None of any other."""
    if image.mode.startswith("I;16"):
        bits = image.tag_v2.get(_BITS, (16,))[0] if isinstance(image, TiffImageFile) else 16
        return 2**bits - 1
    if image.mode == "I" and image.format == "PPM":
        return 2**16 - 1
    if image.mode in ("I", "F"):
        raise ValueError(f"levels of mode {image.mode} have no range of their own: save 8 or 16 bits")
    return None


def _white_is_zero(image: Image.Image) -> bool:
    """Whether a TIFF counts from white to black, which Pillow does not turn round above eight bits."""
    return isinstance(image, TiffImageFile) and image.tag_v2.get(_PHOTOMETRIC) == 0


def _orientation(image: Image.Image) -> int:
    """What EXIF says; 1, as it is, where it cannot be read."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except UNREADABLE:
        return 1


def _opened(path: Path | TarMember, channels: int) -> Image.Image:
    try:
        # By its name Pillow would map a TIFF into memory, and tear one that EXIF turns.
        with open_file(path) as file, Image.open(file) as opened:
            return eight_bits(opened, channels)
    except UNREADABLE as error:
        raise UserError(
            f"{path} is no image that can be read ({reason_of(error)})", "Repair or remove it"
        ) from error


def reason_of(error: Exception) -> str:
    """Why a file is no image that can be read, of one of `UNREADABLE`, in words that name no object of
    Python."""
    if isinstance(error, UnidentifiedImageError):
        return "of no format that Pillow knows, or damaged"
    return getattr(error, "strerror", None) or " ".join(str(error).split())
