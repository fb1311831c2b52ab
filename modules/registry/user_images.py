"""A user's images as the inputs of a classifier."""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from modules.configuration.errors import UserError
from modules.datamodules.encodings import MODES
from modules.datamodules.image_file import read_image

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")


def find_images(path: Path) -> list[Path]:
    """The image itself, or the images of a folder by name.

    Raises:
        UserError: if there is nothing of that name or the folder holds no image.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist", "Give an image or a folder of images")
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())
    if not found:
        raise UserError(f"the folder {path} holds no image", f"Known suffixes: {' '.join(SUFFIXES)}")
    return found


def image_inputs(files: list[Path], shape: tuple[int, ...]) -> Float[Tensor, "images channels height width"]:
    """Images in 0..1, each fitted to the model's shape.

    Args:
        files: the images.
        shape: (channels, height, width) of the model's input.

    Raises:
        UserError: if a file is no image, or the model takes none.
    """
    if len(shape) != 3 or shape[0] not in MODES:
        raise UserError(f"the model takes inputs of shape {list(shape)}, which are no images")
    images = [torch.tensor(read_image(file, *shape)) for file in files]
    return torch.stack(images).float() / 255
