"""Pooling that remembers where each maximum was, and unpooling that puts numbers back there.

Zeiler & Fergus (2014), *Visualizing and understanding convolutional networks*, arXiv 1311.2901, section 2.1;
Noh, Hong & Han (2015), arXiv 1505.04366, section 3.2.1.
"""

from collections.abc import Sequence

from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional


class PlacedPooling(nn.Module):
    """The maximum of each window of 2x2, and its place; the last row or column of an odd size is left out."""

    def forward(
        self, maps: Float[Tensor, "batch channels height width"]
    ) -> tuple[
        Float[Tensor, "batch channels out_height out_width"],
        Int[Tensor, "batch channels out_height out_width"],
    ]:
        return functional.max_pool2d(maps, 2, return_indices=True)


class Unpooling(nn.Module):
    """Each number at the place that its maximum came from, zeros elsewhere."""

    def forward(
        self,
        maps: Float[Tensor, "batch channels height width"],
        places: Int[Tensor, "batch channels height width"],
        size: Sequence[int],
    ) -> Float[Tensor, "batch channels out_height out_width"]:
        """
        Args:
            maps: as many as were pooled.
            places: from the pooling.
            size: height and width before it.
        """
        return functional.max_unpool2d(maps, places, [2, 2], output_size=list(size))
