"""An image file of any size as the numbers a model takes: the same for training and for prediction."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from modules.configuration.errors import UserError
from modules.datamodules.encodings import MODES


def read_image(path: Path, channels: int, height: int, width: int) -> np.ndarray:
    """An image as uint8 [channel, height, width].

    Turned upright by its EXIF mark; laid on white where it is transparent and the model takes no alpha; made
    grey or colour; its middle cut to the wanted proportions and resized. Never inverted: a model that learned
    white on black must be shown white on black.

    Raises:
        UserError: if the file is no image.
    """
    try:
        with Image.open(path) as opened:
            image = ImageOps.exif_transpose(opened)
            if image.has_transparency_data and channels != 4:
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            image = _eight_bits(image).convert(MODES[channels])
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise UserError(f"{path} is no image that can be read ({reason})", "Repair or remove it") from error
    fitted = ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
    return np.asarray(fitted).reshape(height, width, channels).transpose(2, 0, 1)


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey levels of 16 bits scaled to 0..255, where Pillow would cut off what is above 255."""
    if not image.mode.startswith("I;16"):
        return image
    return Image.fromarray((np.asarray(image).astype(np.uint32) // 257).astype(np.uint8))
