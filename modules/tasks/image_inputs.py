"""Images as shards hold them, made into what a network takes."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Num
from torch import Tensor, nn

from modules.configuration.errors import UserError
from modules.tasks.served import ServedInput

if TYPE_CHECKING:
    from modules.configuration.schema.data_settings import DataSettings

_ANY_SIZE = 64
"""Where the size of an image differs from sample to sample: one that says what becomes of it."""


def image_inputs(
    image: Num[Tensor, "batch channels *depth height width"], preprocessing: nn.Module | None = None
) -> Float[Tensor, "batch out_channels *out_depth out_height out_width"]:
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


def images_and_sizes(
    images: Float[Tensor, "batch channels *depth height width"], batch: dict[str, Tensor], field: str
) -> tuple[Tensor, ...]:
    """What a served module is called with: images, and where these differ in size the size of each.

    Args:
        images: as the model takes them, padded.
        batch: of raw fields.
        field: that holds the images.
    """
    sizes = batch.get(f"{field}_length")
    return (images,) if sizes is None else (images, sizes)


def served_image(
    data: "DataSettings", inputs: Callable[[dict[str, Tensor]], Tensor], field: str = "image"
) -> ServedInput:
    """What is served of a field of images or clips: as the model takes them, after what makes them so.

    Args:
        data: settings of the dataset.
        inputs: from a batch of raw fields to the model's inputs.
        field: that holds the image.
    """
    settings = data.fields[field]
    sizes = [size if isinstance(size, int) else _ANY_SIZE for size in settings.shape]
    image = torch.zeros((1, *sizes), dtype=getattr(torch, settings.dtype))
    made = inputs({field: image}).shape[1:]
    shape = tuple(
        size if isinstance(size, str) and made[axis] == _ANY_SIZE else made[axis]
        for axis, size in enumerate(settings.shape)
    )
    if len(shape) == 3 and shape[0] in (1, 3, 4):
        return ServedInput(field, "image", shape)
    is_clip = len(shape) == 4 and settings.axes[1] == "channel" and shape[1] in (1, 3, 4)
    return ServedInput(field, "clip" if is_clip else "vector", shape)
