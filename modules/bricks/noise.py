"""Noise that is laid on images, for a net that learns to take it away.

Vincent, Larochelle, Bengio & Manzagol (2008), *Extracting and composing robust features with denoising
autoencoders*, ICML, section 2.3 (masking; `share` is the paper's nu, here for each pixel alone instead of a
fixed number of pixels); Vincent et al. (2010), JMLR 11, section 3.3 (Gaussian).
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class MaskingNoise(nn.Module):
    """Set each number to zero with a given probability.

    Unlike dropout, what is left stays as it is: to a net that learned with a large share missing, a whole
    image is brighter than any it has seen.

    Args:
        share: that probability, 0..1.

    Raises:
        ValueError: if `share` is out of range.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        if not 0 <= share <= 1:
            raise ValueError(f"share={share} is not between 0 and 1")
        self.share = share

    def forward(self, inputs: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        return inputs * (torch.rand_like(inputs) >= self.share)


class GaussianNoise(nn.Module):
    """Add to each number one sampled from a normal distribution of mean 0; the result may leave 0..1.

    Args:
        standard_deviation: of what is added, in units of the input.

    Raises:
        ValueError: if `standard_deviation` is negative.
    """

    def __init__(self, standard_deviation: float) -> None:
        super().__init__()
        if standard_deviation < 0:
            raise ValueError(f"standard_deviation={standard_deviation} is negative")
        self.standard_deviation = standard_deviation

    def forward(self, inputs: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        return inputs + self.standard_deviation * torch.randn_like(inputs)
