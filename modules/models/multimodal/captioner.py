"""From an image to a sentence: a convolutional net looks, an LSTM writes, with attention or without it.

Vinyals, Toshev, Bengio & Erhan (2014), *Show and tell*, arXiv 1411.4555; Xu et al. (2015), *Show, attend and
tell*, arXiv 1502.03044, section 3.1: the annotation vectors are the cells of a map of the net. The decoder is
`modules.bricks.caption_decoder`. Deviates: each cell also says where it lies, as a net on small images,
unlike one of ImageNet's, has no other way to tell left from right; without attention the image's vector is a
linear map of all cells, not their mean, for the same reason.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from modules.bricks.caption_decoder import CaptionDecoder, Carried, Encoded
from modules.models.features import Backbone


class Captioner(nn.Module):
    """Writes what an image shows.

    Args:
        input_shape: (channels, height, width) of an image.
        backbone: gives the maps.
        vocab_size: tokens of the captions' vocabulary.
        stride: pixels from one cell to the next of the map that is looked at.
        attention: how the decoder compares its state with a cell; `none`: it is told once what the image
            shows.
        attention_size: see `modules.bricks.caption_decoder`.
        embedding_size: numbers that stand for a token.
        hidden_size: of the decoder's state.
        dropout: share of the decoder's inputs, and of what its logits are made of, set to zero in training.
        normalise: whether the numbers of each cell are (Ba, Kiros & Hinton 2016, *Layer normalization*, arXiv
            1607.06450): beside the large activations of a pretrained net its place would not be heard.

    Raises:
        ValueError: the backbone has no map of this stride.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        backbone: Backbone,
        vocab_size: int,
        stride: int = 8,
        attention: Literal["none", "dot", "general", "additive"] = "additive",
        attention_size: int | None = None,
        embedding_size: int = 128,
        hidden_size: int = 256,
        dropout: float = 0.0,
        normalise: bool = False,
    ) -> None:
        super().__init__()
        strides = {info.stride: info for info in backbone.feature_info}
        if stride not in strides:
            raise ValueError(f"stride={stride}: the backbone has maps of strides {sorted(strides)}")
        self.map, place_size = strides[stride].name, strides[stride].num_channels
        self.backbone = backbone
        self.norm = nn.LayerNorm(place_size) if normalise else nn.Identity()
        self.summary: nn.Linear | None = None
        if attention == "none":
            cells = -(-input_shape[1] // stride) * -(-input_shape[2] // stride)
            self.summary = nn.Linear(cells * place_size, hidden_size)
            place_size = hidden_size
        else:
            place_size += 2
        self.decoder = CaptionDecoder(
            vocab_size, place_size, embedding_size, hidden_size, attention, attention_size, dropout
        )

    def forward(
        self, images: Float[Tensor, "batch channels height width"], caption: Int[Tensor, "batch written"]
    ) -> Float[Tensor, "batch written vocab"]:
        """The logits of the token after each of the caption's.

        Args:
            images: in 0..1.
            caption: tokens before each step, the begin token first (teacher forcing).
        """
        return self.attended(images, caption)[0]

    def attended(
        self, images: Float[Tensor, "batch channels height width"], caption: Int[Tensor, "batch written"]
    ) -> tuple[Float[Tensor, "batch written vocab"], Float[Tensor, "batch written cells"] | None]:
        """Logits as of `forward`, and how much was looked at each cell before each token."""
        return self.decoder(*self.places(images), caption)

    def start(self, images: Float[Tensor, "batch channels height width"]) -> tuple[Encoded, Carried]:
        """What the decoder begins with; see `step`."""
        return self.decoder.start(*self.places(images))

    def step(
        self, token: Int[Tensor, " batch"], state: tuple[Encoded, Carried]
    ) -> tuple[Float[Tensor, "batch vocab"], tuple[Encoded, Carried]]:
        """The logits of the token after one, and the state after it; see `modules.generation.decoding`."""
        return self.decoder.step(token, state)

    def cells(self, images: Float[Tensor, "batch channels height width"]) -> tuple[int, int]:
        """Rows and columns of the map that is looked at."""
        rows, columns = self.backbone.feature_maps(images[:1])[self.map].shape[2:]
        return rows, columns

    def places(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> tuple[Float[Tensor, "batch cells numbers"], Bool[Tensor, "batch cells"]]:
        """What the decoder is given of images, row by row, and which of it counts: all."""
        maps = self.backbone.feature_maps(images)[self.map]
        cells = self.norm(maps.flatten(2).transpose(1, 2))
        if self.summary is not None:
            places = self.summary(cells.flatten(1)).relu()[:, None]
        else:
            rows, columns = (torch.linspace(-1, 1, size, device=maps.device) for size in maps.shape[2:])
            where = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), dim=2).flatten(0, 1)
            where = where.to(cells.dtype).expand(maps.shape[0], -1, -1)
            places = torch.cat([cells, where], dim=2)
        return places, torch.ones_like(places[:, :, 0], dtype=torch.bool)
