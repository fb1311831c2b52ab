"""A picture file of any size as the numbers a model takes: the same for training and for prediction."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from modules.configuration.errors import UserError
from modules.datamodules.encodings import MODES


def read_picture(path: Path, channels: int, height: int, width: int) -> np.ndarray:
    """A picture as uint8 [channel, height, width].

    Turned upright by its EXIF mark; laid on white where it is transparent and the model takes no alpha; made
    grey or colour; its middle cut to the wanted proportions and resized. Never inverted: a model that learned
    white on black must be shown white on black.

    Raises:
        UserError: if the file is no picture.
    """
    try:
        with Image.open(path) as opened:
            picture = ImageOps.exif_transpose(opened)
            if picture.has_transparency_data and channels != 4:
                picture = picture.convert("RGBA")
                picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
            picture = _eight_bits(picture).convert(MODES[channels])
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise UserError(f"{path} is no picture that can be read ({reason})", "Mend or remove it") from error
    fitted = ImageOps.fit(picture, (width, height), Image.Resampling.BILINEAR)
    return np.asarray(fitted).reshape(height, width, channels).transpose(2, 0, 1)


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Grey levels of 16 bits scaled to 0..255, where Pillow would cut off what is above 255."""
    if not picture.mode.startswith("I;16"):
        return picture
    return Image.fromarray((np.asarray(picture).astype(np.uint32) // 257).astype(np.uint8))
