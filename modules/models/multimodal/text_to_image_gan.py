"""Two players: one generates images of texts, the other tells real pairs of image and text from all others.

Reed et al. (2016), *Generative adversarial text to image synthesis*, arXiv 1605.05396, section 4.1. The
discriminator's convolutions halve the image until it has 4x4 cells; the text's vector is put beside each of
them, and a last convolution sees all. Deviates: each player reads texts with an encoder of its own.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from modules.bricks.convolution import ConvolutionLayer
from modules.bricks.text_encoder import TextEncoder
from modules.models.multimodal.text_image_generator import TextImageGenerator

_CELLS = 4


class TextToImageGAN(nn.Module):
    """A generator, and a discriminator that learns against it.

    Args:
        vocab_size: tokens of the vocabulary.
        image_shape: (channels, height, width) of an image: square, 4 times a power of two.
        text_size: see `TextImageGenerator`.
        noise_size: see `TextImageGenerator`; at least 1.
        generator_filters: see `TextImageGenerator.num_filters`.
        discriminator_filters: of each convolution, the one of full resolution first.
        embedding_size: see `TextImageGenerator`.
        hidden_size: see `TextImageGenerator`.
        dropout: share of the discriminator's maps set to zero in training.

    Raises:
        ValueError: there is no noise, or the convolutions do not end at 4x4 cells.
    """

    def __init__(
        self,
        vocab_size: int,
        image_shape: Sequence[int],
        text_size: int = 128,
        noise_size: int = 64,
        generator_filters: Sequence[int] = (256, 128, 64),
        discriminator_filters: Sequence[int] = (64, 128, 256),
        embedding_size: int = 64,
        hidden_size: int = 64,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        side = _CELLS * 2 ** len(discriminator_filters)
        if list(image_shape[1:]) != [side, side]:
            raise ValueError(
                f"{len(discriminator_filters)} convolutions end at {_CELLS}x{_CELLS} cells of {side}x{side}"
                f" pixels, and the image has {image_shape[1]}x{image_shape[2]}"
            )
        if noise_size < 1:
            raise ValueError(
                f"noise_size={noise_size}: a generator without noise cannot be told from a copier"
            )
        self.generator = TextImageGenerator(
            vocab_size, image_shape, text_size, noise_size, generator_filters, embedding_size, hidden_size
        )
        self.discriminator = Discriminator(
            vocab_size, image_shape[0], text_size, discriminator_filters, embedding_size, hidden_size, dropout
        )

    def forward(
        self,
        texts: Int[Tensor, "batch time"],
        length: Int[Tensor, " batch"],
        noise: Float[Tensor, "batch noise"] | None = None,
    ) -> tuple[Float[Tensor, "batch channels height width"], Float[Tensor, " batch"]]:
        """Images of texts, and the logits that they are real and belong to them; see
        `TextImageGenerator.forward`."""
        images = self.generator(texts, length, noise)
        return images, self.discriminator(images, texts, length)


class Discriminator(nn.Module):
    """Whether an image is real and a text belongs to it.

    Args:
        vocab_size: tokens of the vocabulary.
        channels: of an image.
        text_size: numbers of a text's vector.
        num_filters: of each convolution.
        embedding_size: numbers that stand for a token.
        hidden_size: of the text's state in each direction.
        dropout: share of the maps set to zero in training.
    """

    def __init__(
        self,
        vocab_size: int,
        channels: int,
        text_size: int,
        num_filters: Sequence[int],
        embedding_size: int,
        hidden_size: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.text = TextEncoder(vocab_size, text_size, embedding_size, hidden_size)
        self.convolutions = nn.Sequential(
            *(
                ConvolutionLayer(
                    before,
                    after,
                    4,
                    stride=2,
                    padding=1,
                    norm="none" if number == 0 else "batch",
                    activation="leaky_relu",
                )
                for number, (before, after) in enumerate(pairwise([channels, *num_filters]))
            )
        )
        self.joined = ConvolutionLayer(
            num_filters[-1] + text_size, num_filters[-1], 1, activation="leaky_relu"
        )
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(num_filters[-1] * _CELLS * _CELLS, 1)

    def forward(
        self,
        images: Float[Tensor, "batch channels height width"],
        texts: Int[Tensor, "batch time"],
        length: Int[Tensor, " batch"],
    ) -> Float[Tensor, " batch"]:
        """Logits, of images in 0..1 and texts: tokens, padded, and how many each has."""
        return self.judged(self.convolutions(2 * images - 1), self.text(texts, length))

    def judged(
        self, maps: Float[Tensor, "batch filters rows columns"], vectors: Float[Tensor, "batch text"]
    ) -> Float[Tensor, " batch"]:
        """Logits of maps that the convolutions gave, and texts' vectors."""
        beside = vectors[:, :, None, None].expand(-1, -1, *maps.shape[2:])
        cells = self.joined(torch.cat([maps, beside], dim=1))
        return self.output(self.dropout(cells).flatten(1))[:, 0]
