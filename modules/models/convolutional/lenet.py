"""LeNet: convolution and pooling in turn, then fully connected layers.

LeCun, Bottou, Bengio & Haffner (1998), *Gradient-based learning applied to document recognition*, section
II.B, figure 2. There: 6 and 16 filters, average pooling with trained scale, scaled tanh and radial basis
outputs. Here: the number of filters, the pooling and the activation are chosen, and the outputs are linear
(softmax follows in the loss).
"""

from collections.abc import Sequence
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from modules.bricks.convolution import ConvolutionLayer, convolved_size
from modules.bricks.dense import DenseLayer
from modules.bricks.pooling import PoolingLayer
from modules.models.features import FeatureInfo, maps_after


class LeNet(nn.Module):
    """A pair of convolution and pooling for each entry of `num_filters`, then dense layers.

    Args:
        input_shape: (channels, height, width) of an image.
        num_classes: number of outputs.
        num_filters: filters of each convolution.
        kernel_size: side of every filter, in pixels.
        hidden_sizes: neurons in each dense layer before the output.
        activation: nonlinearity after each convolution and dense layer (see `modules.bricks.activation`).
        pooling: `max` or `average`, over windows of 2x2.
        dropout: share of each dense layer's outputs set to zero during training.

    Raises:
        ValueError: if a filter does not fit the maps that are left where it is applied.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        num_classes: int,
        num_filters: Sequence[int] = (6, 16),
        kernel_size: int = 5,
        hidden_sizes: Sequence[int] = (120, 84),
        activation: str = "tanh",
        pooling: str = "max",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        channels, height, width = input_shape
        stages: list[nn.Module] = []
        self.feature_info: list[FeatureInfo] = []
        for stage, (in_channels, filters) in enumerate(pairwise([channels, *num_filters]), 1):
            stages.append(ConvolutionLayer(in_channels, filters, kernel_size, activation=activation))
            stages.append(PoolingLayer(pooling, window_px=2))
            height = convolved_size(convolved_size(height, kernel_size), 2, stride=2)
            width = convolved_size(convolved_size(width, kernel_size), 2, stride=2)
            self.feature_info.append(FeatureInfo(f"stage{stage}", filters, stride=2**stage))
        self.features = nn.Sequential(*stages)
        sizes = [[channels, *num_filters][-1] * height * width, *hidden_sizes]
        self.hidden = nn.Sequential(
            *(DenseLayer(inputs, outputs, activation, dropout) for inputs, outputs in pairwise(sizes))
        )
        self.output = DenseLayer(sizes[-1], num_classes)

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch num_classes"]:
        """Logits, one for each class, of images in 0..1."""
        *_, maps = images, *self.feature_maps(images).values()
        return self.output(self.hidden(maps.flatten(1)))

    def feature_maps(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> dict[str, Float[Tensor, "batch _ _ _"]]:
        """What each pooling gives, of images of any size; see `modules.models.features`."""
        after_pooling = {2 * number + 1: info.name for number, info in enumerate(self.feature_info)}
        return maps_after(self.features, after_pooling, images)
