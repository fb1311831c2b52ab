"""An image file of any size as the numbers a model takes: the same for training and for prediction."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from modules.configuration.errors import UserError
from modules.datamodules.encodings import MODES


def read_image(path: Path, channels: int, height: int, width: int, margin: float = 0.0) -> np.ndarray:
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
        UserError: if the file is no image.
    """
    fitted = ImageOps.fit(_opened(path, channels), (width, height), Image.Resampling.BILINEAR, margin)
    return np.asarray(fitted).reshape(height, width, channels).transpose(2, 0, 1)


def read_whole_image(path: Path, channels: int) -> np.ndarray:
    """The same in its own size.

    Raises:
        UserError: if the file is no image.
    """
    pixels = np.asarray(_opened(path, channels))
    return pixels.reshape(*pixels.shape[:2], channels).transpose(2, 0, 1)


def eight_bits(image: Image.Image, channels: int) -> Image.Image:
    """An image made grey or colour, laid on white where it is transparent and no alpha is wanted."""
    if image.has_transparency_data and channels != 4:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    if image.mode.startswith("I;16"):
        # Pillow would cut off what is above 255.
        image = Image.fromarray((np.asarray(image).astype(np.uint32) // 257).astype(np.uint8))
    return image.convert(MODES[channels])


def _opened(path: Path, channels: int) -> Image.Image:
    try:
        with Image.open(path) as opened:
            return eight_bits(ImageOps.exif_transpose(opened), channels)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise UserError(f"{path} is no image that can be read ({reason})", "Repair or remove it") from error
