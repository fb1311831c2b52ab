"""SSD: boxes and their classes in one pass, from maps of several scales.

Liu et al. (2016), *SSD: single shot multibox detector*, arXiv 1512.02325, section 2.1: at each place of each
map the scores of all classes and four offsets for each default box. Deviates: any backbone in the place of
VGG16; a feature pyramid (Lin et al. 2017, arXiv 1612.03144) lets fine maps know what coarse ones understood,
without which small objects stay unnamed; the filters are the same for all scales, as in RetinaNet (Lin et al.
2017, arXiv 1708.02002, section 4).
"""

from collections.abc import Sequence
from math import log
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from modules.bricks.convolution import ConvolutionLayer
from modules.bricks.default_boxes import DefaultBoxes
from modules.bricks.feature_pyramid import FeaturePyramid
from modules.models.features import Backbone

_FIRST_SHARE = 0.05
"""How probable an object is at each default box before training: else the ground drowns the first steps."""


class Detections(NamedTuple):
    """What a detector says of all its default boxes.

    Attributes:
        logits: of the ground and of each class.
        offsets: of the box; see `modules.bricks.boxes`.
        default_boxes: what they are offsets from.
    """

    logits: Float[Tensor, "batch boxes classes"]
    offsets: Float[Tensor, "batch boxes 4"]
    default_boxes: Float[Tensor, "boxes 4"]


class SSD(nn.Module):
    """A backbone, a feature pyramid, and two convolutions that look at each of its maps.

    Args:
        backbone: gives the maps.
        num_classes: of objects; the ground is another one.
        sizes_px: side of the square default box of each map, and one more; see `DefaultBoxes`.
        aspect_ratios: of further default boxes.
        num_filters: channels of the pyramid.
        norm: name of the normalisation (see `modules.bricks.normalisation`).
        activation: name of the nonlinearity (see `modules.bricks.activation`).
        min_stride: of the maps that are looked at; finer ones are left alone.

    Raises:
        ValueError: the backbone gives no maps, or none of that stride, or sizes do not fit them.
    """

    def __init__(
        self,
        backbone: nn.Module,
        num_classes: int,
        sizes_px: Sequence[int | float],
        aspect_ratios: Sequence[int | float] = (2.0, 0.5),
        num_filters: int = 64,
        norm: str = "batch",
        activation: str = "relu",
        min_stride: int = 1,
    ) -> None:
        super().__init__()
        if not isinstance(backbone, Backbone):
            raise ValueError(f"{type(backbone).__name__} is no backbone: it gives no maps")
        infos = [info for info in backbone.feature_info if info.stride >= min_stride]
        if not infos:
            raise ValueError(f"min_stride={min_stride}: {type(backbone).__name__} has no maps so coarse")
        self.looked_at = [info.name for info in infos]
        self.backbone = backbone
        self.pyramid = FeaturePyramid([info.num_channels for info in infos], num_filters, norm, activation)
        self.default_boxes = DefaultBoxes([info.stride for info in infos], sizes_px, aspect_ratios)
        self.num_classes = num_classes
        self.num_outputs = num_classes + 1
        per_place = self.default_boxes.num_per_place
        self.classes = ConvolutionLayer(num_filters, per_place * self.num_outputs, 3, padding=1)
        self.offsets = ConvolutionLayer(num_filters, per_place * 4, 3, padding=1)
        with torch.no_grad():
            bias = self.classes.convolution.bias
            assert bias is not None, "there is no normalisation"
            bias.view(per_place, self.num_outputs)[:, 0] = log(
                (1 - _FIRST_SHARE) / _FIRST_SHARE * num_classes
            )

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Detections:
        """Of images in 0..1."""
        found = self.backbone.feature_maps(images)
        maps = self.pyramid([found[name] for name in self.looked_at])
        logits = [_rows(self.classes(map_), self.num_outputs) for map_ in maps]
        offsets = [_rows(self.offsets(map_), 4) for map_ in maps]
        return Detections(torch.cat(logits, 1), torch.cat(offsets, 1), self.default_boxes(maps))


def _rows(maps: Float[Tensor, "batch _ height width"], size: int) -> Float[Tensor, "batch boxes size"]:
    """A row for each default box, in the order of `DefaultBoxes`."""
    return maps.permute(0, 2, 3, 1).reshape(maps.shape[0], -1, size)
