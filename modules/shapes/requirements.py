"""The input that a layer of torch would take, as near as can be to the one it was given."""

from dataclasses import dataclass
from typing import Any

from torch import nn

Shape = tuple[int, ...]


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
        case nn.modules.conv._ConvNd(in_channels=channels) if channels != got[_channel_axis(layer, got)]:
            axis = _channel_axis(layer, got)
            needed = (*got[:axis], channels, *got[axis + 1 :])
        case nn.modules.conv._ConvTransposeNd():
            return None
        case nn.modules.conv._ConvNd() | nn.modules.pooling._MaxPoolNd() | nn.modules.pooling._AvgPoolNd():
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


def _channel_axis(layer: Any, got: Shape) -> int:
    num_axes = len(_window(layer))
    return max(len(got) - num_axes - 1, 0)


def _window(layer: Any) -> list[int]:
    kernel, dilation = layer.kernel_size, getattr(layer, "dilation", 1)
    num_axes = int(type(layer).__name__[-2])
    sizes = kernel if isinstance(kernel, tuple) else (kernel,) * num_axes
    steps = dilation if isinstance(dilation, tuple) else (dilation,) * num_axes
    return [step * (size - 1) + 1 for size, step in zip(sizes, steps, strict=True)]


def _room_for_window(layer: Any, got: Shape) -> Requirement | None:
    window = _window(layer)
    padding = layer.padding
    if isinstance(padding, str):
        return None
    pads = padding if isinstance(padding, tuple) else (padding,) * len(window)
    room = [max(size - 2 * pad, 1) for size, pad in zip(window, pads, strict=True)]
    sizes = got[-len(room) :]
    needed = (*got[: -len(room)], *(max(size, least) for size, least in zip(sizes, room, strict=True)))
    return Requirement(needed, at_least=True) if needed != got else None
