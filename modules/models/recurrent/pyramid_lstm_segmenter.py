"""PyraMiD-LSTM: a class for each voxel, by convolutional LSTMs through the volume in its six directions.

Stollenga, Byeon, Liwicki & Schmidhuber (2015), *Parallel multi-dimensional LSTM, with application to fast
biomedical volumetric image segmentation*, arXiv 1506.07452, section 3: PyraMiD-LSTM layers, each followed by
a feed-forward layer at every voxel. Deviates: fewer units and smaller filters.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from modules.bricks.layer_counts import check_as_many
from modules.bricks.pyramid_lstm_layer import PyramidLSTMLayer


class PyramidLSTMSegmenter(nn.Module):
    """PyraMiD-LSTM layers, a dense layer at each voxel after each.

    Args:
        input_shape: (channels, depth, height, width) of a volume.
        num_classes: of each voxel.
        recurrent_sizes: state of each direction of each PyraMiD-LSTM layer.
        hidden_sizes: neurons at each voxel after each PyraMiD-LSTM layer.
        kernel_size: side of the filters in a plane, in voxels, an odd number.

    Raises:
        ValueError: if layers differ in number, or a volume is thinner than a filter.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        num_classes: int,
        recurrent_sizes: Sequence[int] = (8, 12),
        hidden_sizes: Sequence[int] = (16, 16),
        kernel_size: int = 3,
    ) -> None:
        super().__init__()
        check_as_many("layers", recurrent_sizes=recurrent_sizes, hidden_sizes=hidden_sizes)
        channels, *sides = input_shape
        if min(sides) < kernel_size:
            raise ValueError(f"a volume of {min(sides)} voxels is thinner than filters of {kernel_size}")
        self.layers = nn.ModuleList()
        self.dense = nn.ModuleList()
        for states, hidden in zip(recurrent_sizes, hidden_sizes, strict=True):
            self.layers.append(PyramidLSTMLayer(channels, states, kernel_size))
            self.dense.append(nn.Conv3d(states, hidden, 1))
            channels = hidden
        self.output = nn.Conv3d(channels, num_classes, 1)

    def forward(
        self, volumes: Float[Tensor, "batch channels depth height width"]
    ) -> Float[Tensor, "batch num_classes depth height width"]:
        """Logits, one for each class and voxel, of volumes in 0..1."""
        maps = volumes
        for layer, dense in zip(self.layers, self.dense, strict=True):
            maps = torch.tanh(dense(layer(maps)))
        return self.output(maps)
