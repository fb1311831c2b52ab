"""From a text to an image of it: the text's vector and noise, then maps that each deconvolution doubles in
size.

Reed et al. (2016), *Generative adversarial text to image synthesis*, arXiv 1605.05396, section 4.1, the
generator; with no noise the deconvolutional net of Dosovitskiy, Springenberg & Brox (2015), arXiv 1411.5928,
with a text in place of class and view. Deviates: the text encoder is learned with the generator, not before
it with images.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from modules.bricks.activation import activation_layer
from modules.bricks.deconvolution import DeconvolutionLayer
from modules.bricks.normalisation import normalisation_layer
from modules.bricks.text_encoder import TextEncoder

_KERNEL_SIZE, _STRIDE, _PADDING = 4, 2, 1


class TextImageGenerator(nn.Module):
    """Generates images of texts.

    Args:
        vocab_size: tokens of the vocabulary.
        image_shape: (channels, height, width) of an image.
        text_size: numbers of a text's vector.
        noise_size: numbers that tell images of one text apart; 0 = there is one image of each.
        num_filters: channels of the first maps and of all after them but the last; as many deconvolutions.
        embedding_size: numbers that stand for a token.
        hidden_size: of the text's state in each direction.

    Raises:
        ValueError: the sides of the image cannot be halved that often.
    """

    def __init__(
        self,
        vocab_size: int,
        image_shape: Sequence[int],
        text_size: int = 128,
        noise_size: int = 64,
        num_filters: Sequence[int] = (256, 128, 64),
        embedding_size: int = 64,
        hidden_size: int = 64,
    ) -> None:
        super().__init__()
        channels, height, width = image_shape
        scale = _STRIDE ** len(num_filters)
        if not num_filters or height % scale or width % scale:
            raise ValueError(
                f"{len(num_filters)} deconvolutions make sides that are multiples of {scale}, and the image"
                f" has {height}x{width} pixels"
            )
        self.noise_size = noise_size
        self.text = TextEncoder(vocab_size, text_size, embedding_size, hidden_size)
        maps = (num_filters[0], height // scale, width // scale)
        self.first = nn.Sequential(
            nn.Linear(text_size + noise_size, maps[0] * maps[1] * maps[2]),
            nn.Unflatten(1, maps),
            normalisation_layer("batch", maps[0]),
            activation_layer("relu"),
        )
        window = (_KERNEL_SIZE, _STRIDE, _PADDING)
        self.upwards = nn.Sequential(
            *(
                DeconvolutionLayer(*pair, *window, norm="batch", activation="relu")
                for pair in pairwise(num_filters)
            )
        )
        self.pixels = DeconvolutionLayer(num_filters[-1], channels, *window, activation="sigmoid")

    def forward(
        self,
        texts: Int[Tensor, "batch time"],
        length: Int[Tensor, " batch"],
        noise: Float[Tensor, "batch noise"] | None = None,
    ) -> Float[Tensor, "batch channels height width"]:
        """Images in 0..1.

        Args:
            texts: tokens, padded.
            length: tokens of each text, at least 1.
            noise: of each image; None = zeros, its mean.
        """
        return self.of_vectors(self.text(texts, length), noise)

    def of_vectors(
        self, vectors: Float[Tensor, "batch text"], noise: Float[Tensor, "batch noise"] | None = None
    ) -> Float[Tensor, "batch channels height width"]:
        """Images in 0..1 of what `text` makes of texts, or of what lies between two."""
        if self.noise_size:
            noise = vectors.new_zeros(vectors.shape[0], self.noise_size) if noise is None else noise
            vectors = torch.cat([vectors, noise], dim=1)
        return self.pixels(self.upwards(self.first(vectors)))
