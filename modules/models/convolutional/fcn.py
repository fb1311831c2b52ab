"""FCN: a classifier's maps turned into a class for each pixel, of images of any size.

Long, Shelhamer & Darrell (2015), *Fully convolutional networks for semantic segmentation*, arXiv 1411.4038,
section 4.2 and figure 3: scores of each class from the coarsest maps, enlarged and added to those of finer
maps down to `output_stride` (FCN-32s, FCN-16s, FCN-8s), and from there to the pixels at once by a fixed
bilinear interpolation. Deviates: any backbone in the place of VGG16; scores are initialised at random, not at
zero.
"""

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from modules.bricks.learned_upsampling import LearnedUpsampling
from modules.models.features import Backbone


class FCN(nn.Module):
    """A 1x1 convolution for each of the backbone's maps, and learned upsampling between them.

    Args:
        backbone: gives the maps.
        num_classes: of each pixel, with that of the ground.
        output_stride: pixels of the image for one of the finest maps that are scored; that of some maps of
            the backbone.
        dropout: share of the coarsest maps set to zero during training.

    Raises:
        ValueError: the backbone gives no maps, or none of that stride.
    """

    def __init__(
        self, backbone: nn.Module, num_classes: int, output_stride: int = 8, dropout: float = 0.0
    ) -> None:
        super().__init__()
        if not isinstance(backbone, Backbone):
            raise ValueError(f"{type(backbone).__name__} is no backbone: it gives no maps")
        strides = [info.stride for info in backbone.feature_info]
        if output_stride not in strides:
            raise ValueError(
                f"output_stride={output_stride}: the maps of {type(backbone).__name__} have the strides "
                f"{', '.join(map(str, strides))}"
            )
        self.backbone: Backbone = backbone
        self.output_stride = output_stride
        scored = [info for info in backbone.feature_info if info.stride >= output_stride]
        self.dropout = nn.Dropout2d(dropout)
        # By the names of the maps: a net of a smaller output stride takes over all that it has in common.
        self.scores = nn.ModuleDict(
            {info.name: nn.Conv2d(info.num_channels, num_classes, 1) for info in scored}
        )
        self.upsampling = nn.ModuleDict(
            {
                after.name: LearnedUpsampling(num_classes, after.stride // before.stride)
                for before, after in pairwise(scored)
            }
        )

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch num_classes height width"]:
        """Logits, one for each class and pixel, of images in 0..1.

        Raises:
            ValueError: an image is smaller than what one number of the coarsest maps stands for.
        """
        stride = self.backbone.feature_info[-1].stride
        height, width = images.shape[2:]
        if isinstance(height, int) and isinstance(width, int) and min(height, width) < stride:
            raise ValueError(f"images of {width}x{height} pixels are smaller than the stride of {stride}")
        maps = self.backbone.feature_maps(images)
        above, *finer = reversed(list(self.scores))
        total = self.scores[above](self.dropout(maps[above]))
        for name in finer:
            scores = self.scores[name](maps[name])
            # A map of an odd side has been halved upwards.
            total = scores + self.upsampling[above](total)[:, :, : scores.shape[2], : scores.shape[3]]
            above = name
        sizes = [size * self.output_stride for size in total.shape[2:]]
        pixels = functional.interpolate(total, sizes, mode="bilinear")
        return pixels[:, :, : images.shape[2], : images.shape[3]]
