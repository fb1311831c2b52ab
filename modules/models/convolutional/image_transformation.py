"""A net that makes of an image another of the same size, and the trained network that judges what it makes.

Johnson, Alahi & Fei-Fei (2016), *Perceptual losses for real-time style transfer and super-resolution*, arXiv
1603.08155: the image transformation network (section 3.1 and table 1 of its supplement) and the loss network.
Instance normalisation in the place of the batch's after Ulyanov, Vedaldi & Lempitsky (2016), arXiv
1607.08022. Deviations: fewer filters; every padding mirrors the image, not the first alone; maps are enlarged
by repeating pixels before a convolution, not by fractionally strided ones, which paint checkerboards (Odena,
Dumoulin & Olah 2016, *Deconvolution and checkerboard artifacts*, Distill); residual blocks end in a
rectifier, and the net in a sigmoid.
There is no noise beside the image, as the generators of Ulyanov, Lebedev, Vedaldi & Lempitsky (2016), arXiv
1603.03417, have it: tried, the net painted from noise alone what has the style, whatever the photograph.
"""

from collections.abc import Sequence
from functools import partial

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from modules.bricks.convolution import ConvolutionLayer
from modules.bricks.residual_block import ResidualBlock
from modules.models.convolutional.vgg16 import Vgg16


class TransformationNetwork(nn.Module):
    """Images to images: made smaller, changed, made larger again.

    Args:
        num_filters: of the first convolution, and of each that halves the maps; enlarging has them reversed.
        num_blocks: residual blocks in the middle.
        norm: name of the normalisation (see `modules.bricks.normalisation`).

    Raises:
        ValueError: if there is no filter, or no such normalisation.
    """

    def __init__(self, num_filters: Sequence[int], num_blocks: int, norm: str) -> None:
        super().__init__()
        if not num_filters:
            raise ValueError("num_filters is empty: there is no convolution")
        first, *others = num_filters
        layer = partial(ConvolutionLayer, norm=norm, activation="relu", padding_mode="reflect")
        self.first = layer(3, first, 9, padding=4)
        self.halving = nn.ModuleList(
            layer(before, after, 3, stride=2, padding=1)
            for before, after in zip(num_filters, others, strict=False)
        )
        self.blocks = nn.Sequential(
            *(
                ResidualBlock(num_filters[-1], num_filters[-1], norm=norm, padding_mode="reflect")
                for _ in range(num_blocks)
            )
        )
        self.doubling = nn.ModuleList(
            layer(after, before, 3, padding=1)
            for before, after in reversed(list(zip(num_filters, others, strict=False)))
        )
        self.last = ConvolutionLayer(first, 3, 9, padding=4, activation="sigmoid", padding_mode="reflect")

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 height width"]:
        """Images in 0..1 of images in 0..1."""
        maps = self.first(images)
        sizes = []
        for layer in self.halving:
            sizes.append(maps.shape[-2:])
            maps = layer(maps)
        maps = self.blocks(maps)
        for layer, size in zip(self.doubling, reversed(sizes), strict=True):
            # Each pixel twice; where an odd size was halved, the last one once.
            maps = layer(functional.interpolate(maps, size, mode="nearest"))
        return self.last(maps)


class ImageTransformation(nn.Module):
    """The net that learns, and VGG16, which looks at images and stays as it is.

    Args:
        num_filters: of the net's first convolution, and of each that halves its maps.
        num_blocks: residual blocks of the net.
        norm: name of the net's normalisation (see `modules.bricks.normalisation`).
        pooling: of VGG16: `average`, or `max`.
        last: VGG16's highest convolution that is wanted.

    Raises:
        ValueError: if there is no filter, or no such normalisation, pooling or convolution.
    """

    def __init__(
        self,
        num_filters: Sequence[int] = (16, 32, 64),
        num_blocks: int = 5,
        norm: str = "instance",
        pooling: str = "average",
        last: str = "conv5_1",
    ) -> None:
        super().__init__()
        self.network = TransformationNetwork(num_filters, num_blocks, norm)
        self.backbone = Vgg16(pooling, last).requires_grad_(False)

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 height width"]:
        """Images in 0..1 of images in 0..1."""
        return self.network(images)
