"""Images brought to the mean and spread that a net was trained with.

LeCun, Bottou, Orr & Müller (1998), *Efficient backprop*, section 4.3. Who begins from another's weights has
to show its images as they were shown there.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Standardisation(nn.Module):
    """Subtract a mean of each channel and divide by the spread; a grey image goes into every channel.

    Args:
        mean: of each channel, in the units of the images.
        spread: the difference that becomes one, the same for all channels.
    """

    mean: Tensor

    def __init__(self, mean: Sequence[float], spread: float) -> None:
        super().__init__()
        # Not part of the weights: a net with other ones is another net.
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.spread = spread

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch means height width"]:
        return (images - self.mean) / self.spread
