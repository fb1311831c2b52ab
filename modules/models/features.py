"""Backbones: models whose maps serve others too, such as detectors, segmenters or style transfer.

After timm's `features_only` and `feature_info` (Wightman 2019, *PyTorch image models*): what maps there are,
how many channels each has, how much smaller than the image it is.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn


@dataclass(frozen=True)
class FeatureInfo:
    """What is known of maps before there are any.

    Attributes:
        name: theirs, within the model.
        num_channels: how many maps.
        stride: pixels of the image from one pixel of a map to the next.
    """

    name: str
    num_channels: int
    stride: int


@runtime_checkable
class Backbone(Protocol):
    """A model that gives maps of an image at several scales, of images of any size that its layers take.

    Attributes:
        feature_info: the maps, of the highest resolution first.
    """

    feature_info: Sequence[FeatureInfo]

    def feature_maps(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> dict[str, Float[Tensor, "batch _ _ _"]]:
        """The maps of images in 0..1 by name, in the order of `feature_info`."""
        ...


def maps_after(
    layers: Iterable[nn.Module], names: Mapping[int, str], maps: Float[Tensor, "batch _ _ _"]
) -> dict[str, Float[Tensor, "batch _ _ _"]]:
    """Runs layers one after another and keeps the maps that some of them give.

    Args:
        layers: of a model; what lies above the last one named is not run.
        names: of the maps to keep, by the number of the layer, counted from 0.
        maps: what the first layer takes.
    """
    found: dict[str, Tensor] = {}
    for number, layer in enumerate(layers):
        maps = layer(maps)
        if number in names:
            found[names[number]] = maps
        if len(found) == len(names):
            break
    return found
