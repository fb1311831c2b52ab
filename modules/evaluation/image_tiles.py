"""Many small images as one."""

import torch
from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor
from torch.nn import functional

_GAP_PX = 2
_GROUND = 255


def tiles(images: Float[Tensor, "images channels height width"], columns: int, scale: int = 2) -> ndarray:
    """Images side by side, row by row.

    Args:
        images: in 0..1, of one channel or three; what lies outside is cut off.
        columns: images in a row.
        scale: pixels of the sheet to one of an image, along each axis.

    Returns:
        uint8, [height, width] or [height, width, 3].
    """
    grey: UInt8[Tensor, "images channels height width"]
    grey = (images.detach().cpu().float().clamp(0, 1) * 255).round().to(torch.uint8)
    grey = grey.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    missing = -len(grey) % columns
    framed = functional.pad(grey, (0, _GAP_PX, 0, _GAP_PX, 0, 0, 0, missing), value=_GROUND)
    rows = framed.unflatten(0, (-1, columns))
    rows[-1, columns - missing :] = _GROUND
    sheet = rows.permute(2, 0, 3, 1, 4).flatten(3, 4).flatten(1, 2)
    sheet = functional.pad(sheet, (_GAP_PX, 0, _GAP_PX, 0), value=_GROUND)
    return (sheet[0] if len(sheet) == 1 else sheet.permute(1, 2, 0)).numpy()


def pixels(image: Float[Tensor, "channels height width"]) -> ndarray:
    """An image in 0..1 as uint8, [height, width] or [height, width, 3]."""
    grey = (image.detach().cpu().float().clamp(0, 1) * 255).round().to(torch.uint8)
    return (grey[0] if len(grey) == 1 else grey.permute(1, 2, 0)).contiguous().numpy()
