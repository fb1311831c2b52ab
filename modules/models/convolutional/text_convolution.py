"""A convolutional classifier of texts: filters over runs of words, and of each its largest value.

Kim (2014), *Convolutional neural networks for sentence classification*, section 2, arXiv 1408.5882.
Deviates: embeddings of its own, none that were trained before; no bound on the norm of the last layer's
weights.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from modules.bricks.padding import kept


class TextConvolution(nn.Module):
    """Embedding, filters of several widths, the largest value of each over the text, one logit for each
    class.

    Args:
        vocab_size: tokens of the vocabulary.
        num_classes: number of outputs.
        embedding_size: numbers that stand for a token.
        num_filters: of each width.
        kernel_sizes: widths in words; odd, so that a text keeps its length.
        dropout: share of what is pooled set to zero in training.
    """

    def __init__(
        self,
        vocab_size: int,
        num_classes: int,
        embedding_size: int = 128,
        num_filters: int = 100,
        kernel_sizes: Sequence[int] = (1, 3, 5),
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding_size)
        nn.init.normal_(self.embedding.weight, std=0.1)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(embedding_size, num_filters, size, padding="same") for size in kernel_sizes
        )
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(num_filters * len(kernel_sizes), num_classes)

    def forward(
        self, tokens: Int[Tensor, "batch time"], length: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch num_classes"]:
        """Logits, one for each class, of texts padded at their ends."""
        keep = kept(length, tokens)
        words = (self.embedding(tokens) * keep[:, :, None]).transpose(1, 2)
        maps = [convolution(words).relu() for convolution in self.convolutions]
        largest = [one.masked_fill(~keep[:, None], 0.0).amax(dim=2) for one in maps]
        return self.output(self.dropout(torch.cat(largest, dim=1)))
