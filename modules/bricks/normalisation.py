"""Normalisation of maps by name, as layers take it.

`batch`: Ioffe & Szegedy (2015), *Batch normalization*, section 3.2, arXiv 1502.03167: each channel over the
batch; gamma and beta there are `weight` and `bias`. Here epsilon is 0.001, as TensorFlow has it, and running
means take a tenth of each batch.

`instance`: Ulyanov, Vedaldi & Lempitsky (2016), *Instance normalization: the missing ingredient for fast
stylization*, equation 3, arXiv 1607.08022: each channel of each image alone, in training and afterwards, so
that an image's contrast does not reach the layers above; with a gain and a bias of each channel.
"""

from collections.abc import Callable
from functools import partial

from torch import nn

NORMS: dict[str, Callable[[int], nn.Module]] = {
    "none": nn.Identity,
    "batch": partial(nn.BatchNorm2d, eps=1e-3),
    "instance": partial(nn.InstanceNorm2d, affine=True),
}


def normalisation_layer(name: str, num_channels: int) -> nn.Module:
    """The normalisation called `name`, of maps of so many channels.

    Raises:
        ValueError: if there is none of that name.
    """
    if name not in NORMS:
        raise ValueError(f"norm={name!r} is none of {', '.join(NORMS)}")
    return NORMS[name](num_channels)
