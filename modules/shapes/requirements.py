"""The input that a layer of torch would take, as near as can be to the one it was given."""

from dataclasses import dataclass
from typing import Any

from torch import nn

from modules.shapes.symbols import Shape

_Convolution, _MaxPool = nn.modules.conv._ConvNd, nn.modules.pooling._MaxPoolNd
_AvgPool = nn.modules.pooling._AvgPoolNd


@dataclass(frozen=True)
class Requirement:
    """A shape that fits, and whether a larger one does too."""

    shape: Shape
    at_least: bool = False


def required_input(layer: nn.Module, got: Shape) -> Requirement | None:
    """What `layer` needs instead of `got`; None where `got` fits or nothing is known of the layer."""
    match layer:
        case nn.Linear(in_features=features):
            needed = (*got[:-1], features)
        case _Convolution() | _MaxPool() | _AvgPool() if len(got) < 3:
            return None
        case _Convolution(in_channels=channels) if channels != got[1]:
            needed = (got[0], channels, *got[2:])
        case nn.modules.conv._ConvTransposeNd():
            return None
        case _Convolution() | _MaxPool() | _AvgPool():
            return _room_for_window(layer, got)
        case nn.modules.batchnorm._BatchNorm(num_features=features) if len(got) > 1:
            needed = (got[0], features, *got[2:])
        case nn.LayerNorm(normalized_shape=shape):
            needed = (*got[: max(len(got) - len(shape), 0)], *shape)
        case nn.RNNBase(input_size=features) | nn.modules.rnn.RNNCellBase(input_size=features):
            needed = (*got[:-1], features)
        case _:
            return None
    return Requirement(needed) if needed != got else None


def _room_for_window(layer: Any, got: Shape) -> Requirement | None:
    num_axes = len(got) - 2

    def each_axis(value: Any) -> tuple[int, ...]:
        return value if isinstance(value, tuple) else (value,) * num_axes

    kernel, dilation = each_axis(layer.kernel_size), each_axis(getattr(layer, "dilation", 1))
    padding = each_axis(layer.padding)
    if isinstance(layer.padding, str) or not len(kernel) == len(dilation) == len(padding) == num_axes:
        return None
    sizes = zip(got[2:], kernel, dilation, padding, strict=True)
    room = (max(size, step * (window - 1) + 1 - 2 * pad) for size, window, step, pad in sizes)
    needed = (*got[:2], *room)
    return Requirement(needed, at_least=True) if needed != got else None
