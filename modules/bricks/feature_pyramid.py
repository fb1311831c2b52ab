"""A feature pyramid: what coarse maps have understood is handed down to the fine ones, which know where.

Lin et al. (2017), *Feature pyramid networks for object detection*, arXiv 1612.03144, section 3 and figure 3:
each map by a 1x1 convolution to the same number of channels, plus the coarser one enlarged (nearest
neighbour), then a convolution of 3x3.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from modules.bricks.convolution import ConvolutionLayer


class FeaturePyramid(nn.Module):
    """Maps of all scales with the same number of channels.

    Args:
        in_channels: of each map, the finest first.
        num_filters: channels of each map of the pyramid.
        norm: name of the normalisation (see `modules.bricks.normalisation`).
        activation: name of the nonlinearity (see `modules.bricks.activation`) after the last convolution.
    """

    def __init__(
        self, in_channels: Sequence[int], num_filters: int, norm: str = "batch", activation: str = "relu"
    ) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(
            ConvolutionLayer(channels, num_filters, 1, norm=norm) for channels in in_channels
        )
        self.smoothing = nn.ModuleList(
            ConvolutionLayer(num_filters, num_filters, 3, padding=1, norm=norm, activation=activation)
            for _ in in_channels
        )

    def forward(self, maps: Sequence[Float[Tensor, "batch _ _ _"]]) -> list[Float[Tensor, "batch _ _ _"]]:
        """The pyramid's maps, each of the size of its own."""
        *finer, above = (lateral(map_) for lateral, map_ in zip(self.lateral, maps, strict=True))
        summed = [above]
        for map_ in reversed(finer):
            above = map_ + functional.interpolate(above, map_.shape[2:], mode="nearest")
            summed.insert(0, above)
        return [smoothing(map_) for smoothing, map_ in zip(self.smoothing, summed, strict=True)]
