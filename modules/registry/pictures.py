"""A user's picture, made fit for the model."""

from pathlib import Path

import numpy
import torch
from jaxtyping import Float
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from modules.configuration.errors import UserError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm")


def read_picture(file: Path, shape: tuple[int, ...]) -> Float[Tensor, "channels height width"]:
    """A picture file as the model takes it: float32 in 0..1.

    Turned upright by its EXIF mark, laid on white where it is transparent, made grey or colour as the model
    asks, and resized (antialiased, without keeping the proportions) if its size differs. Never inverted: a
    model that learned white on black must be shown white on black.

    Args:
        file: the picture.
        shape: (channels, height, width) of the model's input.

    Raises:
        UserError: if the file is no picture, or the model takes none.
    """
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise UserError(f"the model takes inputs of shape {list(shape)}, not grey or colour pictures")
    channels, height, width = shape
    try:
        with Image.open(file) as opened:
            picture = ImageOps.exif_transpose(opened)
            if picture.has_transparency_data:
                picture = picture.convert("RGBA")
                picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
            picture = _grey(picture) if channels == 1 else picture.convert("RGB")
    except FileNotFoundError as error:
        raise UserError(f"{file} does not exist", "Give a picture or a folder of pictures.") from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = (
            str(error).partition("\n")[0]
            if isinstance(error, Image.DecompressionBombError)
            else "damaged or none"
        )
        raise UserError(
            f"{file} cannot be read as a picture ({reason})", "Give a PNG or JPEG file."
        ) from error
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    pixels = torch.from_numpy(numpy.array(picture)).reshape(height, width, channels)
    return pixels.permute(2, 0, 1).float() / 255


def find_pictures(path: Path) -> list[Path]:
    """The picture itself, or the pictures of a folder by name.

    Raises:
        UserError: if there is nothing of that name or the folder holds no picture.
    """
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())
    if not found:
        raise UserError(f"the folder {path} holds no picture", f"Known suffixes: {' '.join(SUFFIXES)}.")
    return found


def _grey(picture: Image.Image) -> Image.Image:
    """Grey levels 0..255; pictures of 16 bits are scaled down, where a plain conversion would clip them."""
    if picture.mode.startswith("I;16"):
        return Image.fromarray((numpy.array(picture).astype(numpy.uint32) // 257).astype(numpy.uint8))
    return picture.convert("L")
