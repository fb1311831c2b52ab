"""A user's pictures as the inputs of a classifier."""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from modules.configuration.errors import UserError
from modules.datamodules.encodings import MODES
from modules.datamodules.image_file import read_picture

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")


def find_pictures(path: Path) -> list[Path]:
    """The picture itself, or the pictures of a folder by name.

    Raises:
        UserError: if there is nothing of that name or the folder holds no picture.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist", "Give a picture or a folder of pictures")
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())
    if not found:
        raise UserError(f"the folder {path} holds no picture", f"Known suffixes: {' '.join(SUFFIXES)}")
    return found


def picture_inputs(
    files: list[Path], shape: tuple[int, ...]
) -> Float[Tensor, "pictures channels height width"]:
    """Pictures in 0..1, each fitted to the model's shape.

    Args:
        files: the pictures.
        shape: (channels, height, width) of the model's input.

    Raises:
        UserError: if a file is no picture, or the model takes none.
    """
    if len(shape) != 3 or shape[0] not in MODES:
        raise UserError(f"the model takes inputs of shape {list(shape)}, which are no pictures")
    pictures = [torch.tensor(read_picture(file, *shape)) for file in files]
    return torch.stack(pictures).float() / 255
