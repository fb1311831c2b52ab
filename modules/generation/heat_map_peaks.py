"""From heat maps to the objects that they show: places that are hotter than all around them."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional


def peaks(
    heat: Float[Tensor, "batch classes height width"],
    first_px: float,
    stride_px: float,
    max_peaks: int,
    distance_px: float,
) -> tuple[Float[Tensor, "batch peaks 2"], Float[Tensor, "batch peaks"], Int[Tensor, "batch peaks"]]:
    """The hottest places, hottest first, none of them nearer to a hotter one than `distance_px`.

    Where the maps of several classes are hot, the hottest names the object. A place is refined to the mean of
    it and the eight around it, by their heat.

    Args:
        heat: of each class, 0..1.
        first_px: where in the image the first place lies, along either axis.
        stride_px: from one place to the next.
        max_peaks: of an image.
        distance_px: along either axis; less than the stride is as much as the stride.

    Returns:
        Places as x, y in pixels; heat; class numbers. Of what is no peak the heat is 0.
    """
    radius = max(1, round(distance_px / stride_px))
    hottest, classes = heat.max(dim=1)
    hottest = hottest[:, None]
    around = functional.max_pool2d(hottest, 2 * radius + 1, stride=1, padding=radius)
    height, width = heat.shape[2:]
    kind = {"device": heat.device, "dtype": heat.dtype}
    across = torch.arange(width, **kind).expand(height, width)
    down = torch.arange(height, **kind)[:, None].expand(height, width)
    total, x, y = (
        functional.avg_pool2d(hottest * place, 3, stride=1, padding=1).flatten(1)
        for place in (torch.ones_like(across), across, down)
    )
    # As many more without heat, so that there are enough of a small image too.
    kept = functional.pad((hottest * (hottest >= around)).flatten(1), (0, max_peaks))
    scores, places = kept.topk(max_peaks, dim=1)
    places = places.clamp(max=height * width - 1)
    mean = total.gather(1, places).clamp(min=torch.finfo(heat.dtype).tiny)
    centre = torch.stack([one.gather(1, places) / mean for one in (x, y)], dim=-1)
    return first_px + centre * stride_px, scores, classes.flatten(1).gather(1, places)
