"""Images in other light: brightness, contrast and colour, sampled for each.

Howard (2013), *Some improvements on deep convolutional neural network based image classification*, arXiv
1312.5402, section 2.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class RandomColourChange(nn.Module):
    """Each image's levels times a gain and its contrast changed, each channel a little by itself.

    Args:
        brightness: largest change of the gain, as a share.
        contrast: largest change of the distance from the image's mean, as a share.
        colour: largest change of a channel's gain, as a share.

    Raises:
        ValueError: if a share is outside 0..1.
    """

    images_alone = True

    def __init__(self, brightness: float = 0.2, contrast: float = 0.2, colour: float = 0.1) -> None:
        super().__init__()
        if not all(0 <= share <= 1 for share in (brightness, contrast, colour)):
            raise ValueError(
                f"brightness={brightness}, contrast={contrast}, colour={colour}: each from 0 to 1"
            )
        self.brightness = brightness
        self.contrast = contrast
        self.colour = colour

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """The images, in 0..1 as they came."""
        count, channels = images.shape[:2]
        light, contrast = (
            torch.rand(2, count, 1, 1, 1, device=images.device, dtype=images.dtype) * 2 - 1
        ).unbind()
        cast = torch.rand(count, channels, 1, 1, device=images.device, dtype=images.dtype) * 2 - 1
        gain = (1 + self.brightness * light) * (1 + self.colour * cast)
        mean = images.mean(dim=(1, 2, 3), keepdim=True)
        return ((mean + (images - mean) * (1 + self.contrast * contrast)) * gain).clamp(0, 1)
