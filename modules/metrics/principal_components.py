"""The linear code: the few directions in which data vary most, found exactly, in one pass.

Pearson (1901), *On lines and planes of closest fit*; an autoencoder without nonlinearities and with squared
error finds the same plane (Baldi & Hornik 1989, *Neural networks and principal component analysis*).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class PrincipalComponents:
    """A plane in the space of the data.

    Attributes:
        mean: of the data.
        directions: orthonormal, those of greatest variance first.
    """

    mean: Float[Tensor, " size"]
    directions: Float[Tensor, "components size"]

    def encode(self, data: Float[Tensor, "batch size"]) -> Float[Tensor, "batch components"]:
        """Where samples lie in the plane."""
        return (data - self.mean) @ self.directions.T

    def decode(self, codes: Float[Tensor, "batch components"]) -> Float[Tensor, "batch size"]:
        """The samples that lie there."""
        return codes @ self.directions + self.mean

    def reconstruct(self, data: Float[Tensor, "batch size"]) -> Float[Tensor, "batch size"]:
        """The samples of the plane that lie nearest."""
        return self.decode(self.encode(data))


def principal_components(
    batches: Iterable[Float[Tensor, "batch size"]], num_components: int
) -> PrincipalComponents:
    """The components of data that come in batches; takes memory for size x size numbers of eight bytes.

    Args:
        batches: the data, at least one sample.
        num_components: directions; no more than the data have numbers.
    """
    total = products = torch.zeros((), dtype=torch.float64)
    num_samples = 0
    for batch in batches:
        # Sums over one batch are short enough for its own precision; those over all are not.
        total = total + batch.sum(0, dtype=torch.float64)
        products = products + batch.T @ batch
        num_samples += len(batch)
    mean = total / num_samples
    covariance = products / num_samples - torch.outer(mean, mean)
    vectors = torch.linalg.eigh(covariance).eigenvectors  # those of the least variance first
    dtype = torch.get_default_dtype()
    directions = vectors.T.flip(0)[:num_components].to(dtype)
    return PrincipalComponents(mean.to(dtype), directions)
