"""Images distorted as handwriting is: turned, stretched, slanted and bent, a little and at every look again.

Simard, Steinkraus & Platt (2003), *Best practices for convolutional neural networks applied to visual
document analysis*, section 2. Deviates: the paper bends by a displacement of each pixel, sampled at random
and smoothed by a Gaussian; here a coarse grid of points is displaced, and the pixels between them smoothly.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

_NUM_POINTS = 5
"""Displaced points along each axis."""


class RandomDistortion(nn.Module):
    """Turn, stretch, slant, shift and bend each image, all sampled for each, and fill with zeros.

    Args:
        rotation_deg: furthest turn either way, in degrees.
        stretch: largest change of size, as a share of it.
        slant: furthest move of the upper edge against the middle, as a share of half the width.
        shift_px: furthest shift along each axis, in pixels.
        bend_px: standard deviation of the displacement of the points, in pixels.

    Raises:
        ValueError: if one of them is negative.
    """

    def __init__(
        self,
        rotation_deg: float = 10.0,
        stretch: float = 0.1,
        slant: float = 0.1,
        shift_px: float = 1.5,
        bend_px: float = 1.0,
    ) -> None:
        super().__init__()
        if min(rotation_deg, stretch, slant, shift_px, bend_px) < 0:
            raise ValueError("a distortion is negative")
        self.rotation_deg = rotation_deg
        self.stretch = stretch
        self.slant = slant
        self.shift_px = shift_px
        self.bend_px = bend_px

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        batch, _, height, width = images.shape
        turn, size, slant, across, down = (torch.rand(5, batch, device=images.device) * 2 - 1).to(images)
        angle, size = turn * math.radians(self.rotation_deg), (size * self.stretch).exp()
        cosine, sine = size * angle.cos(), size * angle.sin()
        # Coordinates run from -1 to 1 along each axis, so that a pixel is 2 / width by 2 / height.
        pixel = images.new_tensor([2 / width, 2 / height])
        across, down = across * self.shift_px * pixel[0], down * self.shift_px * pixel[1]
        along_x = [cosine, slant * self.slant - sine * height / width, across]
        along_y = [sine * width / height, cosine, down]
        matrix = torch.stack(along_x + along_y, 1).reshape(batch, 2, 3)
        grid = functional.affine_grid(matrix, list(images.shape), align_corners=False)
        points = torch.randn(batch, 2, _NUM_POINTS, _NUM_POINTS, device=images.device).to(images)
        bend = functional.interpolate(points, size=(height, width), mode="bicubic", align_corners=True)
        grid = grid + bend.movedim(1, -1) * self.bend_px * pixel
        return functional.grid_sample(images, grid, align_corners=False)
