"""The weights of a first layer as images."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


def first_layer_filters(
    model: nn.Module, input_shape: tuple[int, ...]
) -> Float[Tensor, "filters channels height width"] | None:
    """What each neuron of the first layer looks for, as images [filters, channels, height, width].

    The filters of a convolution; of a fully connected layer on the pixels, the weights laid out as the
    image. None where the first layer with weights is neither.
    """
    for layer in model.modules():
        match layer:
            case nn.Conv2d():
                return layer.weight.detach()
            case nn.Linear(in_features=size) if (
                len(input_shape) == 3 and size == torch.Size(input_shape).numel()
            ):
                return layer.weight.detach().unflatten(1, input_shape)
            case nn.Module() if next(layer.parameters(recurse=False), None) is not None:
                return None
    return None
