"""An image whose pixels are the weights that learn, and the trained network that looks at it.

Gatys, Ecker & Bethge (2015), *A neural algorithm of artistic style*, arXiv 1508.06576.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from modules.models.convolutional.vgg16 import Vgg16


class StylisedImage(nn.Module):
    """White noise to begin with: grey of 0.5, with normal noise of 0.02. What learns are the pixels before a
    sigmoid, so that no pixel leaves 0..1.

    Args:
        image_shape: (3, height, width) of the image.
        pooling: of the network: `average`, as the paper has it, or `max`.
        last: the network's highest convolution that is wanted.

    Raises:
        ValueError: if an image has not three channels or is smaller than 16 pixels, or the network refuses.
    """

    def __init__(self, image_shape: Sequence[int], pooling: str = "average", last: str = "conv5_1") -> None:
        super().__init__()
        channels, height, width = image_shape
        if channels != 3 or min(height, width) < 16:
            raise ValueError(f"images of {list(image_shape)}: VGG16 takes [3, 16 or more, 16 or more]")
        self.backbone = Vgg16(pooling, last).requires_grad_(False)
        self.image = nn.Parameter(white_noise(image_shape))

    def forward(self) -> Float[Tensor, "3 height width"]:
        """The image in 0..1."""
        return self.image.sigmoid()


def white_noise(
    image_shape: Sequence[int], generator: torch.Generator | None = None
) -> Float[Tensor, "channels height width"]:
    """Grey of 0.5, with normal noise of 0.02, before the sigmoid; of `generator`, or torch's own."""
    return 0.08 * torch.randn(*image_shape, generator=generator)
