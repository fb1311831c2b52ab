"""A net of inception modules: GoogLeNet's build for small images.

Szegedy et al. (2014), *Going deeper with convolutions*, arXiv 1409.4842, section 5 and table 1: a stem, then
inception modules with pooling between groups of them, the average of all places, one dense layer; the shares
of the branches are those of module 3a there. Deviates: as many modules and channels as the configuration
says, a stem for small images, batch normalisation (Ioffe & Szegedy 2015, arXiv 1502.03167, section 4.2), and
no auxiliary classifiers, which it makes needless.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from modules.bricks.convolution import ConvolutionLayer
from modules.bricks.dense import DenseLayer
from modules.bricks.inception import Inception
from modules.bricks.layer_counts import check_as_many
from modules.models.features import FeatureInfo, maps_after


class InceptionNet(nn.Module):
    """A stem of two convolutions, groups of inception modules, each at half the resolution, a dense layer.

    Args:
        input_shape: (channels, height, width) of an image.
        num_classes: number of outputs; None = a backbone, which gives maps alone.
        num_channels: of what each group's modules give, a multiple of 16; the stem gives half of the first.
        num_modules: inception modules of each group.
        norm: name of the normalisation (see `modules.bricks.normalisation`).
        activation: name of the nonlinearity (see `modules.bricks.activation`).
        dropout: share of the averaged features set to zero during training.

    Raises:
        ValueError: if there is not a number of modules for each group, or channels are no multiple of 16.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        num_classes: int | None,
        num_channels: Sequence[int] = (64, 128, 256),
        num_modules: Sequence[int] = (1, 2, 1),
        norm: str = "batch",
        activation: str = "relu",
        dropout: float = 0.4,
    ) -> None:
        super().__init__()
        check_as_many("groups", num_modules=num_modules, num_channels=num_channels)
        if any(width % 16 for width in num_channels):
            raise ValueError(f"num_channels={list(num_channels)}: each must be a multiple of 16")
        channels = num_channels[0] // 2
        stem = nn.Sequential(
            ConvolutionLayer(input_shape[0], channels, 3, padding=1, norm=norm, activation=activation),
            ConvolutionLayer(channels, channels, 3, padding=1, norm=norm, activation=activation),
        )
        groups: list[nn.Module] = []
        self.feature_info: list[FeatureInfo] = []
        for group, (width, depth) in enumerate(zip(num_channels, num_modules, strict=True), 1):
            modules: list[nn.Module] = [nn.MaxPool2d(kernel_size=3, stride=2, padding=1)]
            for _ in range(depth):
                modules.append(Inception(channels, **_branches(width), norm=norm, activation=activation))
                channels = width
            groups.append(nn.Sequential(*modules))
            self.feature_info.append(FeatureInfo(f"group{group}", width, 2**group))
        self.features = nn.Sequential(stem, *groups)
        self.dropout = nn.Dropout(dropout)
        self.output = None if num_classes is None else DenseLayer(channels, num_classes)

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch outputs"]:
        """Logits, one for each class, of images in 0..1; of a backbone the averaged features."""
        *_, maps = self.feature_maps(images).values()
        features = self.dropout(maps.mean(dim=(2, 3)))
        return features if self.output is None else self.output(features)

    def feature_maps(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> dict[str, Float[Tensor, "batch _ _ _"]]:
        """What each group gives, of images of any size; see `modules.models.features`."""
        after = {number: info.name for number, info in enumerate(self.feature_info, 1)}
        # Channels lie innermost: a CPU convolves such maps faster.
        return maps_after(self.features, after, images.contiguous(memory_format=torch.channels_last))


def _branches(width: int) -> dict[str, int]:
    """The filters of the branches, in the shares of module 3a: of 256 channels 64, 96, 128, 16, 32 and 32."""
    return {
        "num_1x1": width // 4,
        "num_3x3_reduced": width * 3 // 8,
        "num_3x3": width // 2,
        "num_5x5_reduced": width // 16,
        "num_5x5": width // 8,
        "num_pooled": width // 8,
    }
