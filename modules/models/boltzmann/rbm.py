"""The restricted Boltzmann machine as a model of images.

Hinton (2002), *Training products of experts by minimizing contrastive divergence*, Neural Computation 14; the
machine itself, its symbols and deviations: `modules.bricks.boltzmann_layer`.
"""

from collections.abc import Sequence
from math import prod
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from modules.bricks.boltzmann_layer import BoltzmannLayer


class RBM(nn.Module):
    """One hidden layer that models the pixels.

    Args:
        input_shape: (channels, height, width) of an image.
        hidden_size: number of hidden units.
        visible_units: `bernoulli` for pixels in 0..1, `gaussian` for any.
        visible_std: standard deviation of a Gaussian pixel, given the hidden units.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        hidden_size: int = 500,
        visible_units: Literal["bernoulli", "gaussian"] = "bernoulli",
        visible_std: float = 1.0,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [BoltzmannLayer(prod(input_shape), hidden_size, visible_units, visible_std)]
        )

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch hidden_size"]:
        """Probabilities of the hidden units."""
        return self.layers[0](images.flatten(1)).sigmoid()

    def boltzmann_layers(self) -> list[BoltzmannLayer]:
        """The one machine."""
        return [layer for layer in self.layers if isinstance(layer, BoltzmannLayer)]
