"""Windows of images at random places, another one at every look.

Krizhevsky, Sutskever & Hinton (2012), *ImageNet classification with deep convolutional neural networks*,
section 4.1.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class RandomCrop(nn.Module):
    """Cut a window of a given size out of each image, sampled for each.

    Args:
        height_px: rows of the window.
        width_px: columns of the window.

    Raises:
        ValueError: if a size is below 1; when called, if an image is smaller.
    """

    def __init__(self, height_px: int, width_px: int) -> None:
        super().__init__()
        if min(height_px, width_px) < 1:
            raise ValueError(f"height_px={height_px}, width_px={width_px}: a window has at least one pixel")
        self.size = (height_px, width_px)

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height_px width_px"]:
        batch, _, *sizes = images.shape
        rooms = [size - wanted for size, wanted in zip(sizes, self.size, strict=True)]
        if min(rooms) < 0:
            raise ValueError(f"a window of {list(self.size)} pixels does not fit images of {sizes}")
        first = [torch.randint(0, room + 1, (batch, 1), device=images.device) for room in rooms]
        rows, columns = (
            corner + torch.arange(wanted, device=images.device)
            for corner, wanted in zip(first, self.size, strict=True)
        )
        samples = torch.arange(batch, device=images.device)[:, None, None]
        # Advanced indices around a slice put the slice's axis last: (batch, height, width, channels).
        return images[samples, :, rows[:, :, None], columns[:, None, :]].movedim(-1, 1)
