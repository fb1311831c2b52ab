"""Deconvolution net: what pooling has left out is put back where it was, and filters paint the rest.

Noh, Hong & Han (2015), *Learning deconvolution network for semantic segmentation*, arXiv 1505.04366, section
3 and figure 2: convolutions and pooling as in VGG16, a bottleneck, and the same mirrored with unpooling and
deconvolutions, batch normalisation after each layer. Deviates: narrower and less deep; whole images, not
proposals of objects; a bottleneck of 3x3, which takes images of any size, in the place of 7x7 and 1x1.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from modules.bricks.convolution import ConvolutionLayer
from modules.bricks.deconvolution import DeconvolutionLayer
from modules.bricks.layer_counts import check_as_many
from modules.bricks.unpooling import PlacedPooling, Unpooling


class DeconvolutionNet(nn.Module):
    """Stages of convolutions, each followed by a pooling, and as many of unpooling and deconvolutions.

    Args:
        input_shape: (channels, height, width) of an image.
        num_classes: of each pixel, with that of the ground.
        num_filters: filters of each stage.
        num_layers: convolutions, and deconvolutions, of each stage.
        bottleneck: filters between the two halves.
        norm: name of the normalisation (see `modules.bricks.normalisation`).
        activation: name of the nonlinearity (see `modules.bricks.activation`).

    Raises:
        ValueError: if there is not a number of layers for each stage, or images are too small to be pooled so
            often.
    """

    def __init__(
        self,
        input_shape: Sequence[int | str],
        num_classes: int,
        num_filters: Sequence[int] = (16, 32, 64, 128),
        num_layers: Sequence[int] = (1, 2, 2, 2),
        bottleneck: int = 256,
        norm: str = "batch",
        activation: str = "relu",
    ) -> None:
        super().__init__()
        check_as_many("stages", num_layers=num_layers, num_filters=num_filters)
        channels, *sides = input_shape
        smallest = min((side for side in sides if isinstance(side, int)), default=2 ** len(num_filters))
        if smallest < 2 ** len(num_filters):
            raise ValueError(
                f"images of {smallest} pixels are too small for {len(num_filters)} poolings: each halves them"
            )
        assert isinstance(channels, int)
        kind = {"kernel_size": 3, "padding": 1, "norm": norm, "activation": activation}
        encoder: list[nn.Module] = []
        decoder: list[nn.Module] = []
        for filters, depth in zip(num_filters, num_layers, strict=True):
            widths = [channels, *[filters] * depth]
            encoder.append(
                nn.Sequential(
                    *(ConvolutionLayer(widths[layer], widths[layer + 1], **kind) for layer in range(depth))
                )
            )
            # Mirrored; the last one gives what the stage before pools, of the first stage its own filters.
            widths[0] = channels if decoder else filters
            decoder.append(
                nn.Sequential(
                    *(
                        DeconvolutionLayer(widths[layer + 1], widths[layer], **kind)
                        for layer in reversed(range(depth))
                    )
                )
            )
            channels = filters
        self.encoder = nn.ModuleList(encoder)
        self.pooling = PlacedPooling()
        self.bottleneck = nn.Sequential(
            ConvolutionLayer(channels, bottleneck, **kind), DeconvolutionLayer(bottleneck, channels, **kind)
        )
        self.unpooling = Unpooling()
        self.decoder = nn.ModuleList(decoder)
        self.output = ConvolutionLayer(num_filters[0], num_classes, 1)

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch num_classes height width"]:
        """Logits, one for each class and pixel, of images in 0..1."""
        # Channels lie innermost: a CPU convolves such maps faster.
        maps = images.contiguous(memory_format=torch.channels_last)
        pooled = []
        for convolutions in self.encoder:
            maps = convolutions(maps)
            size = maps.shape[2:]
            maps, places = self.pooling(maps)
            pooled.append((places, size))
        maps = self.bottleneck(maps)
        for deconvolutions in reversed(self.decoder):
            places, size = pooled.pop()
            maps = deconvolutions(self.unpooling(maps, places, size))
        return self.output(maps)
