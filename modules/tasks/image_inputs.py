"""Images as shards hold them, made into what a network takes."""

import torch
from jaxtyping import Float, Num
from torch import Tensor, nn

from modules.configuration.errors import UserError


def image_inputs(
    image: Num[Tensor, "batch channels height width"], preprocessing: nn.Module | None = None
) -> Float[Tensor, "batch out_channels out_height out_width"]:
    """Images in 0..1, in torch's default floating-point type.

    Args:
        image: whole numbers 0..255, or floating-point numbers 0..1, or truth values.
        preprocessing: makes of images in 0..1 what the network takes.
    """
    dtype = torch.get_default_dtype()
    in_0_to_1 = image.is_floating_point() or image.dtype == torch.bool
    images = image.to(dtype) if in_0_to_1 else image.to(dtype) / 255
    return images if preprocessing is None else preprocessing(images)


def demand_unit_interval(image: Float[Tensor, "batch channels height width"], who: str, hint: str) -> None:
    """
    Args:
        image: of any values; an image of shapes alone passes.
        who: takes values in 0..1 only, in the plural.
        hint: what else can be done about it.

    Raises:
        UserError: a value is outside 0..1.
    """
    if image.is_meta:
        return
    low, high = (float(bound) for bound in image.aminmax())
    if not 0 <= low <= high <= 1:
        raise UserError(f"data.fields.image holds {low:g}..{high:g}; {who} need 0..1", hint)
