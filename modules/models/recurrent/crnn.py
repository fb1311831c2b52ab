"""Convolutions, recurrent layers in both directions, and a label or a blank for each column of an image.

Shi, Bai & Yao (2015), *An end-to-end trainable neural network for image-based sequence recognition*, arXiv
1507.05717, section 2; trained by connectionist temporal classification. Deviates: fewer and smaller layers.
"""

from collections.abc import Sequence
from math import prod

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from modules.bricks.convolution import ConvolutionLayer
from modules.bricks.padding import kept
from modules.bricks.recurrent_layer import CellName, recurrent_layers, through_layers


class CRNN(nn.Module):
    """From an image of a line to logits of each of its columns.

    Args:
        input_shape: (channels, height, width) of an image; the width may be a name.
        num_labels: labels, the blank included.
        num_filters: of each convolution of 3x3.
        pools: [height, width] of the maximum pooling after each convolution.
        hidden_size: of the state of each direction of each recurrent layer.
        num_layers: recurrent layers.
        cell: see `modules.bricks.recurrent_layer`.
        dropout: share of each recurrent layer's inputs, and of what the logits are made of, set to zero in
            training.

    Raises:
        ValueError: convolutions and pools are not as many, or nothing is left of the height.
    """

    def __init__(
        self,
        input_shape: Sequence[int | str],
        num_labels: int,
        num_filters: Sequence[int] = (32, 64, 96, 128),
        pools: Sequence[Sequence[int]] = ((2, 2), (2, 2), (2, 1), (2, 1)),
        hidden_size: int = 128,
        num_layers: int = 1,
        cell: CellName = "lstm",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if len(num_filters) != len(pools):
            raise ValueError(f"{len(num_filters)} convolutions and {len(pools)} pools: give each its pool")
        channels, height = int(input_shape[0]), int(input_shape[1])
        rows = height // prod(int(pool[0]) for pool in pools)
        if rows < 1:
            raise ValueError(f"pools {list(pools)} leave nothing of a height of {height}: make them smaller")
        sizes = [channels, *num_filters]
        self.convolutions = nn.ModuleList(
            ConvolutionLayer(before, after, 3, padding=1, norm="batch", activation="relu")
            for before, after in zip(sizes, num_filters, strict=False)
        )
        self.pools = nn.ModuleList(nn.MaxPool2d((int(down), int(along))) for down, along in pools)
        self.strides = [int(along) for _, along in pools]
        self.layers, width = recurrent_layers(cell, "both", sizes[-1] * rows, hidden_size, num_layers)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(width, num_labels)

    def forward(
        self, images: Float[Tensor, "batch channels height width"], size: Int[Tensor, " batch"] | None = None
    ) -> tuple[Float[Tensor, "batch frames labels"], Int[Tensor, " batch"]]:
        """Logits of each frame, from left to right, and how many frames each image has.

        Args:
            images: in 0..1, padded at their right.
            size: columns of each; None = all.
        """
        maps, frames = images, size
        for convolution, pool, along in zip(self.convolutions, self.pools, self.strides, strict=True):
            maps = pool(convolution(maps))
            if frames is not None:  # what is beside an image is zeros, as around it
                frames = (frames // along).clamp(1)
                maps = maps * kept(frames, maps[:, 0, 0])[:, None, None]
        columns = maps.permute(0, 3, 1, 2).flatten(2)
        if frames is None:
            frames = torch.full_like(columns[:, 0, 0], columns.shape[1], dtype=torch.int64)
        features = through_layers(self.layers, columns, frames, self.dropout)
        return self.output(self.dropout(features)), frames
