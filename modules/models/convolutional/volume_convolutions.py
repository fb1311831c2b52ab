"""A class for each voxel by convolutions in three dimensions, all at the volume's own resolution.

The plain net beside which `recurrent/pyramid_lstm_segmenter` is measured; volumes as in Cicek et al. (2016),
*3D U-Net*, arXiv 1606.06650, without their halvings.
"""

from collections.abc import Sequence
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn


class VolumeConvolutions(nn.Module):
    """Convolutions with normalisation (of four channels together) and ReLU, then one logit for each class.

    Args:
        input_shape: (channels, depth, height, width) of a volume.
        num_classes: of each voxel.
        num_filters: filters of each convolution, multiples of four.
        kernel_size: side of the filters, in voxels, an odd number.

    Raises:
        ValueError: if the side of the filters is even, or a volume is thinner; or filters are no multiple of
            four.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        num_classes: int,
        num_filters: Sequence[int] = (16, 32, 32, 52),
        kernel_size: int = 3,
    ) -> None:
        super().__init__()
        channels, *sides = input_shape
        if kernel_size % 2 == 0 or min(sides) < kernel_size:
            raise ValueError(
                f"kernel_size={kernel_size}, and volumes have {min(sides)} voxels: it must be odd and no more"
            )
        if any(filters % 4 or filters < 4 for filters in num_filters):
            raise ValueError(f"num_filters={list(num_filters)}: four channels are normalised together")
        layers: list[nn.Module] = []
        for inputs, filters in pairwise([channels, *num_filters]):
            layers.append(nn.Conv3d(inputs, filters, kernel_size, padding=kernel_size // 2, bias=False))
            # Not over the batch: it holds a few blocks, which differ in how much of them is brain.
            layers += [nn.GroupNorm(filters // 4, filters), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.output = nn.Conv3d([channels, *num_filters][-1], num_classes, 1)

    def forward(
        self, volumes: Float[Tensor, "batch channels depth height width"]
    ) -> Float[Tensor, "batch num_classes depth height width"]:
        """Logits, one for each class and voxel, of volumes in 0..1."""
        return self.output(self.features(volumes))
