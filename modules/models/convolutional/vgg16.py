"""VGG16's convolutions: thirteen of 3x3 in five blocks, with a pooling between each two.

Simonyan & Zisserman (2014), *Very deep convolutional networks for large-scale image recognition*, arXiv
1409.1556, section 2.1 and table 1, configuration D. The dense layers are left out: what is asked of it here
are the maps. Average pooling in the place of the maximum after Gatys, Ecker & Bethge (2015), arXiv
1508.06576. Images are shown as to its weights trained on ImageNet: grey levels less their mean.
`modules.weights.hed_vgg16` brings trained weights under the names used here.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from modules.bricks.convolution import ConvolutionLayer
from modules.bricks.pooling import PoolingLayer
from modules.bricks.standardisation import Standardisation
from modules.models.features import FeatureInfo, maps_after

_MEAN = (122.67892 / 255, 116.66877 / 255, 104.00699 / 255)
"""Of red, green and blue over ImageNet, in images of 0..1."""
_BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
"""Filters of each convolution, by block."""

LAYERS = [
    f"conv{block}_{number}" for block, sizes in enumerate(_BLOCKS, 1) for number in range(1, len(sizes) + 1)
]
"""Names of the maps, the paper's blocks counted from 1."""


class Vgg16(nn.Module):
    """Convolutions, each followed by a rectifier.

    Args:
        pooling: `max`, as it was trained, or `average`.
        last: name of the highest convolution that is wanted, `conv5_3` for all.

    Raises:
        ValueError: if there is no such convolution or pooling.
    """

    def __init__(self, pooling: str = "max", last: str = LAYERS[-1]) -> None:
        super().__init__()
        if last not in LAYERS:
            raise ValueError(f"last={last!r} is none of {', '.join(LAYERS)}")
        self.standardise = Standardisation(_MEAN, 1 / 255)
        layers: list[nn.Module] = []
        feature_info: list[FeatureInfo] = []
        self._kept_after: dict[int, str] = {}
        channels = 3
        for name, (block, num_filters) in zip(LAYERS, _convolutions(), strict=True):
            if name.endswith("_1") and block > 0:
                layers.append(PoolingLayer(pooling))
            self._kept_after[len(layers)] = name
            feature_info.append(FeatureInfo(name, num_filters, 2**block))
            layers.append(ConvolutionLayer(channels, num_filters, 3, padding=1, activation="relu"))
            channels = num_filters
            if name == last:
                break
        self.features = nn.Sequential(*layers)
        self.feature_info: Sequence[FeatureInfo] = feature_info

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch num_maps out_height out_width"]:
        """The highest convolution's maps of images in 0..1, of 16x16 pixels or more."""
        return list(self.feature_maps(images).values())[-1]

    def feature_maps(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> dict[str, Float[Tensor, "batch _ _ _"]]:
        """What each convolution gives, after its rectifier; see `modules.models.features`."""
        # Channels lie innermost: a CPU convolves such maps faster.
        standardised = self.standardise(images).contiguous(memory_format=torch.channels_last)
        return maps_after(self.features, self._kept_after, standardised)


def _convolutions() -> list[tuple[int, int]]:
    """The block, counted from 0, and the filters of each convolution."""
    return [(block, num_filters) for block, sizes in enumerate(_BLOCKS) for num_filters in sizes]
