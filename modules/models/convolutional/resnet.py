"""ResNet: stages of residual blocks, each at half the resolution of the one before.

He, Zhang, Ren & Sun (2015), *Deep residual learning for image recognition*, arXiv 1512.03385; for small
images as in section 4.2: a first convolution of 3x3, three stages with n blocks each, of 16, 32 and 64
filters (depth 6n + 2), the average of all places, one dense layer. For large ones `stem` takes the first
layers of table 1 (7x7 with stride 2, pooling of 3x3 with stride 2). Deviates: shortcuts that change sizes are
projections (option B), not padding with zeros. Without `shortcut` it is the plain net of figure 6.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from modules.bricks.activation import activation_layer
from modules.bricks.convolution import ConvolutionLayer
from modules.bricks.dense import DenseLayer
from modules.bricks.layer_counts import check_as_many
from modules.bricks.normalisation import normalisation_layer
from modules.bricks.residual_block import BOTTLENECK, ResidualBlock
from modules.models.features import FeatureInfo, maps_after


class ResNet(nn.Module):
    """A first convolution, a stage for each entry of `num_filters`, the average of all places, a dense layer.

    Args:
        input_shape: (channels, height, width) of an image.
        num_classes: number of outputs; None = a backbone, which gives maps alone.
        num_blocks: residual blocks of each stage, or of every one.
        num_filters: filters of the 3x3 convolutions of each stage; the first convolution has those of the
            first stage.
        stem: `small` keeps the resolution up to the first stage, `large` quarters it.
        bottleneck: whether the blocks are bottlenecks.
        pre_activation: whether normalisation and nonlinearity come before each convolution of a block.
        shortcut: whether blocks add their input; without, it is a plain net of the same layers.
        norm: name of the normalisation (see `modules.bricks.normalisation`).
        activation: name of the nonlinearity (see `modules.bricks.activation`).
        dropout: share of the averaged features set to zero during training.

    Raises:
        ValueError: if there is not a number of blocks for each stage.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        num_classes: int | None,
        num_blocks: Sequence[int] | int = 3,
        num_filters: Sequence[int] = (16, 32, 64),
        stem: Literal["small", "large"] = "small",
        bottleneck: bool = False,
        pre_activation: bool = False,
        shortcut: bool = True,
        norm: str = "batch",
        activation: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if isinstance(num_blocks, int):
            num_blocks = [num_blocks] * len(num_filters)
        check_as_many("stages", num_blocks=num_blocks, num_filters=num_filters)
        channels, stride = num_filters[0], 1 if stem == "small" else 4
        first = ConvolutionLayer(
            input_shape[0],
            channels,
            kernel_size=3 if stem == "small" else 7,
            stride=1 if stem == "small" else 2,
            padding=1 if stem == "small" else 3,
            # Before blocks that normalise first, a convolution alone.
            norm="none" if pre_activation else norm,
            activation="identity" if pre_activation else activation,
        )
        pooling = nn.Identity() if stem == "small" else nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        stages: list[nn.Module] = []
        self.feature_info: list[FeatureInfo] = []
        for stage, (depth, filters) in enumerate(zip(num_blocks, num_filters, strict=True), 1):
            blocks = []
            for number in range(depth):
                halves = number == 0 and stage > 1
                blocks.append(
                    ResidualBlock(
                        channels,
                        filters,
                        stride=2 if halves else 1,
                        bottleneck=bottleneck,
                        pre_activation=pre_activation,
                        shortcut=shortcut,
                        norm=norm,
                        activation=activation,
                    )
                )
                channels = filters * (BOTTLENECK if bottleneck else 1)
                stride *= 2 if halves else 1
            stages.append(nn.Sequential(*blocks))
            self.feature_info.append(FeatureInfo(f"stage{stage}", channels, stride))
        if pre_activation:  # nothing after the last sum would normalise or bend it
            last = (normalisation_layer(norm, channels), activation_layer(activation))
            stages[-1] = nn.Sequential(stages[-1], *last)
        self.features = nn.Sequential(first, pooling, *stages)
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
        """What each stage gives, of images of any size; see `modules.models.features`."""
        after = {number: info.name for number, info in enumerate(self.feature_info, 2)}
        # Channels lie innermost: a CPU convolves such maps faster.
        return maps_after(self.features, after, images.contiguous(memory_format=torch.channels_last))
