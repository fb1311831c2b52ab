"""Bricks one after another, as a configuration lists them: a net without a line of Python."""

from collections.abc import Sequence

from torch import nn


class Sequential(nn.Sequential):
    """Each layer takes what the one before it gives.

    Args:
        layers: bricks, or layers of torch, in order.
    """

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__(*layers)
