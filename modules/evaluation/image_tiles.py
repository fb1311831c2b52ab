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
        images: see `visible`.
        columns: images in a row.
        scale: pixels of the sheet to one of an image, along each axis.

    Returns:
        uint8, [height, width] or [height, width, 3].
    """
    grey: UInt8[Tensor, "images channels height width"]
    grey = visible(images)
    grey = grey.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    missing = -len(grey) % columns
    framed = functional.pad(grey, (0, _GAP_PX, 0, _GAP_PX, 0, 0, 0, missing), value=_GROUND)
    rows = framed.unflatten(0, (-1, columns))
    rows[-1, columns - missing :] = _GROUND
    sheet = rows.permute(2, 0, 3, 1, 4).flatten(3, 4).flatten(1, 2)
    sheet = functional.pad(sheet, (_GAP_PX, 0, _GAP_PX, 0), value=_GROUND)
    return (sheet[0] if len(sheet) == 1 else sheet.permute(1, 2, 0)).numpy()


def pixels(image: Float[Tensor, "channels height width"]) -> ndarray:
    """An image, see `visible`, as uint8, [height, width] or [height, width, 3]."""
    grey = visible(image[None])[0]
    return (grey[0] if len(grey) == 1 else grey.permute(1, 2, 0)).contiguous().numpy()


def visible(
    images: Float[Tensor, "images channels height width"],
) -> UInt8[Tensor, "images shown height width"]:
    """Levels of images in 0..1, of one channel or three; what lies outside is cut off.

    Maps of more channels, such as a network's, are shown in grey: their mean over the channels, black where
    it is smallest in the map and white where it is largest.
    """
    shown = images.detach().cpu().float()
    if shown.shape[1] not in (1, 3):
        mean = shown.mean(dim=1, keepdim=True)
        low, high = mean.amin(dim=(2, 3), keepdim=True), mean.amax(dim=(2, 3), keepdim=True)
        shown = (mean - low) / (high - low).clamp_min(torch.finfo(mean.dtype).tiny)
    return (shown.clamp(0, 1) * 255).round().to(torch.uint8)
