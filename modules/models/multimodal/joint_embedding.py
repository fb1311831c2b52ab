"""One space for images and texts: what says the same lies close together.

Kiros, Salakhutdinov & Zemel (2014), *Unifying visual-semantic embeddings with multimodal neural language
models*, arXiv 1411.2539, section 2.2: an LSTM reads the text, a linear map takes a convolutional net's
features into the same space, and closeness is the cosine. Deviates: the text is read in both directions; the
features are a map's cells, so that where something lies can be told, or their mean.
"""

from collections.abc import Sequence
from typing import Literal

from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from modules.bricks.text_encoder import TextEncoder
from modules.models.features import Backbone


class JointEmbedding(nn.Module):
    """Vectors of length 1 of images and of texts.

    Args:
        input_shape: (channels, height, width) of an image.
        backbone: gives the maps.
        vocab_size: tokens of the vocabulary.
        size: numbers of a vector.
        pooling: whether the map's `cells` or their `mean` is mapped into the space.
        embedding_size: numbers that stand for a token.
        hidden_size: of the text's state in each direction.
        dropout: share of the map's features, and of what the text is read from, set to zero in training.
        reading: how a text becomes a vector; see `modules.bricks.text_encoder`.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        backbone: Backbone,
        vocab_size: int,
        size: int = 128,
        pooling: Literal["cells", "mean"] = "cells",
        embedding_size: int = 64,
        hidden_size: int = 128,
        dropout: float = 0.0,
        reading: Literal["recurrent", "average"] = "recurrent",
    ) -> None:
        super().__init__()
        info = backbone.feature_info[-1]
        cells = -(-input_shape[1] // info.stride) * -(-input_shape[2] // info.stride)
        self.backbone = backbone
        self.pooling = pooling
        self.dropout = nn.Dropout(dropout)
        self.image_output = nn.Linear(info.num_channels * (cells if pooling == "cells" else 1), size)
        self.text = TextEncoder(vocab_size, size, embedding_size, hidden_size, dropout, reading)

    def forward(
        self,
        images: Float[Tensor, "batch channels height width"],
        texts: Int[Tensor, "batch time"],
        length: Int[Tensor, " batch"],
    ) -> tuple[Float[Tensor, "batch size"], Float[Tensor, "batch size"]]:
        """The vectors of images in 0..1, and of texts of some length: tokens, padded."""
        return self.of_images(images), self.of_texts(texts, length)

    def of_images(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch size"]:
        """The vectors of images in 0..1."""
        *_, maps = self.backbone.feature_maps(images).values()
        features = maps.flatten(1) if self.pooling == "cells" else maps.mean(dim=(2, 3))
        return functional.normalize(self.image_output(self.dropout(features)), dim=1)

    def of_texts(
        self, texts: Int[Tensor, "batch time"], length: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch size"]:
        """The vectors of texts: tokens, padded, and how many each has."""
        return functional.normalize(self.text(texts, length), dim=1)
