"""EfficientNet-Lite0: inverted residuals in the widths and depths that a search for efficiency found.

Tan & Le (2019), *EfficientNet: rethinking model scaling for convolutional neural networks*, table 1, arXiv
1905.11946; the Lite nets (Liu 2020, in TensorFlow's blog and models) leave out squeeze-and-excitation, use
ReLU6 in place of swish, and never scale the first and last convolution. Images are standardised as for
its weights trained on ImageNet; `modules.weights.efficientnet_lite0` brings these under the names used
here. Deviates: no stochastic depth.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from modules.bricks.convolution import ConvolutionLayer
from modules.bricks.dense import DenseLayer
from modules.bricks.inverted_residual import InvertedResidual
from modules.bricks.standardisation import Standardisation
from modules.models.features import FeatureInfo, maps_after

STAGES = (
    # expansion, filters, blocks, stride of the first, kernel size
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)


class EfficientNetLite(nn.Module):
    """A strided convolution, sixteen inverted residuals, a 1x1 convolution; the mean of each map; classes.

    Args:
        input_shape: (channels, height, width) of an image; one channel is shown as three equal ones.
        num_classes: number of outputs.
        dropout: share of the pooled features set to zero during training.

    Raises:
        ValueError: if an image is neither grey nor of three channels.
    """

    def __init__(self, input_shape: Sequence[int], num_classes: int, dropout: float = 0.2) -> None:
        super().__init__()
        if input_shape[0] not in (1, 3):
            raise ValueError(f"images of {input_shape[0]} channels: EfficientNet-Lite takes 1 or 3")
        self.standardise = Standardisation((127 / 255,) * 3, spread=128 / 255)
        stem = ConvolutionLayer(3, 32, 3, stride=2, padding="same", norm="batch", activation="relu6")
        layers: list[nn.Module] = [stem]
        channels, reduction = 32, 2
        of_scale: dict[int, tuple[int, FeatureInfo]] = {}
        for stage, (expansion, num_filters, num_blocks, first_stride, kernel_size) in enumerate(STAGES, 1):
            for block in range(num_blocks):
                stride = first_stride if block == 0 else 1
                layers.append(InvertedResidual(channels, num_filters, kernel_size, stride, expansion))
                channels = num_filters
            reduction *= first_stride
            of_scale[reduction] = len(layers) - 1, FeatureInfo(f"stage{stage}", channels, reduction)
        layers.append(ConvolutionLayer(channels, 1280, 1, norm="batch", activation="relu6"))
        self.feature_info = [info for _, info in of_scale.values()]
        self._kept_after = {layer: info.name for layer, info in of_scale.values()}
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        self.output = DenseLayer(1280, num_classes)

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch num_classes"]:
        """Logits, one for each class, of images in 0..1."""
        maps = self.features[-1](self.feature_maps(images)[self.feature_info[-1].name])
        return self.output(self.dropout(maps.mean(dim=(2, 3))))

    def feature_maps(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> dict[str, Float[Tensor, "batch _ _ _"]]:
        """The last stage's maps at each scale; see `modules.models.features`."""
        return maps_after(self.features, self._kept_after, self.standardise(images))
