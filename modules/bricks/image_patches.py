"""Images as a grid of patches: what a recurrent network reads cell by cell."""

from collections.abc import Sequence
from math import prod

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def image_patches(
    images: Float[Tensor, "batch channels height width"], patch_px: int
) -> Float[Tensor, "batch rows columns values"]:
    """The values of each patch of patch_px x patch_px pixels, [channels * patch_px * patch_px]."""
    return functional.pixel_unshuffle(images, patch_px).movedim(1, -1)


def grid_patches(grid: Float[Tensor, "batch rows columns values"], side: int) -> Float[Tensor, "batch _ _ _"]:
    """Patches of a grid whose values lie innermost, such as what a layer made of patches."""
    return image_patches(grid.movedim(-1, 1), side)


def check_patches(input_shape: Sequence[int], sides: Sequence[int]) -> None:
    """
    Args:
        input_shape: (channels, height, width) of an image.
        sides: of the patches of pixels, of the patches of those, and so on.

    Raises:
        ValueError: if patches do not cover an image exactly.
    """
    side = prod(sides)
    if side < 1 or any(size % side for size in input_shape[1:]):
        raise ValueError(
            f"images of {input_shape[1]}x{input_shape[2]} pixels are not whole patches of"
            f" {' times '.join(map(str, sides))} pixels: {side} must divide their sides"
        )
