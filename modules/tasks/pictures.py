"""Pictures as shards hold them, made into what a network takes."""

import torch
from jaxtyping import Float, Num
from torch import Tensor, nn


def picture_inputs(
    image: Num[Tensor, "batch channels height width"], preprocessing: nn.Module | None = None
) -> Float[Tensor, "batch out_channels out_height out_width"]:
    """Pictures in 0..1, in torch's default floating-point type.

    Args:
        image: whole numbers 0..255, or floating-point numbers 0..1.
        preprocessing: makes of pictures in 0..1 what the network takes.
    """
    dtype = torch.get_default_dtype()
    pictures = image.to(dtype) if image.is_floating_point() else image.to(dtype) / 255
    return pictures if preprocessing is None else preprocessing(pictures)
