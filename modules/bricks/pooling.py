"""Less resolution, more tolerance: each window of a map becomes one number.

Average: LeCun et al. (1998), *Gradient-based learning applied to document recognition*, section II.B.
Maximum: Riesenhuber & Poggio (1999), *Hierarchical models of object recognition in cortex*.
"""

from jaxtyping import Float
from torch import Tensor, nn

POOLINGS: dict[str, type[nn.MaxPool2d] | type[nn.AvgPool2d]] = {"max": nn.MaxPool2d, "average": nn.AvgPool2d}


class PoolingLayer(nn.Module):
    """Square windows, side by side, each replaced by its maximum or its average.

    Args:
        kind: `max` or `average`.
        window_px: side of a window and step from one to the next; what does not fill a window is left out.

    Raises:
        ValueError: if `kind` is unknown.
    """

    def __init__(self, kind: str = "max", window_px: int = 2) -> None:
        super().__init__()
        if kind not in POOLINGS:
            raise ValueError(f"pooling={kind!r} is none of {', '.join(POOLINGS)}")
        self.pooling = POOLINGS[kind](window_px)

    def forward(
        self, maps: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels out_height out_width"]:
        return self.pooling(maps)
