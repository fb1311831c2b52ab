"""What tasks ask of a model beside its forward pass, by methods; no model has to inherit anything."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from modules.bricks.boltzmann_layer import BoltzmannLayer


@runtime_checkable
class Autoencoder(Protocol):
    """A model that squeezes images through a code; calling it reconstructs them.

    Attributes:
        code_size: numbers in a code.
    """

    code_size: int

    def __call__(
        self, images: Float[Tensor, "batch channels height width"], /
    ) -> Float[Tensor, "batch channels height width"]: ...

    def encode(
        self, images: Float[Tensor, "batch channels height width"], /
    ) -> Float[Tensor, "batch code_size"]:
        """The codes of images in 0..1."""
        ...

    def decode(
        self, codes: Float[Tensor, "batch code_size"], /
    ) -> Float[Tensor, "batch channels height width"]:
        """The pixels that codes stand for, before the nonlinearity of the pixels."""
        ...


@runtime_checkable
class BoltzmannStack(Protocol):
    """A model of restricted Boltzmann machines, one on top of the other."""

    def boltzmann_layers(self) -> Sequence[BoltzmannLayer]:
        """The machines, the lowest first."""
        ...
