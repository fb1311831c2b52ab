"""A recurrent classifier of sequences: what one direction or both have seen, pooled over all steps.

Graves & Schmidhuber (2005), *Framewise phoneme classification with bidirectional LSTM*, Neural Networks 18;
the largest value of each feature over the steps: Collobert et al. (2011), *Natural language processing
(almost) from scratch*, section 3.2.2, arXiv 1103.0398; beside it their mean. Whole words are dropped as in
Gal & Ghahramani (2016), section 4.2, arXiv 1512.05287.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from modules.bricks.padding import kept
from modules.bricks.recurrent_layer import CellName, Directions, recurrent_layers, through_layers


class RecurrentClassifier(nn.Module):
    """Embedding, recurrent layers, largest and mean value over the steps, one logit for each class.

    Args:
        vocab_size: tokens of the vocabulary.
        num_classes: number of outputs.
        embedding_size: numbers that stand for a token.
        hidden_size: of the state of each direction of each layer.
        num_layers: recurrent layers.
        cell: `elman`, `lstm`, `gru` or a variant (see `modules.bricks.recurrent_layer`).
        directions: `both`, or `forwards` alone.
        dropout: share of each layer's inputs, and of what is pooled, set to zero in training.
        word_dropout: share of the tokens whose embedding is set to zero in training.
    """

    def __init__(
        self,
        vocab_size: int,
        num_classes: int,
        embedding_size: int = 128,
        hidden_size: int = 128,
        num_layers: int = 1,
        cell: CellName = "lstm",
        directions: Directions = "both",
        dropout: float = 0.0,
        word_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding_size)
        # Of a rare word there is little to learn: what is left of its beginning is to be small.
        nn.init.normal_(self.embedding.weight, std=0.1)
        self.layers, width = recurrent_layers(cell, directions, embedding_size, hidden_size, num_layers)
        self.word_dropout = nn.Dropout1d(word_dropout)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(2 * width, num_classes)

    def forward(
        self, tokens: Int[Tensor, "batch time"], length: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch num_classes"]:
        """Logits, one for each class.

        Args:
            tokens: their numbers, padded.
            length: tokens of each text, at least 1.
        """
        words = self.word_dropout(self.embedding(tokens))
        features = through_layers(self.layers, words, length, self.dropout)
        keep = kept(length, tokens)[:, :, None]
        largest = features.masked_fill(~keep, -torch.inf).amax(dim=1)
        mean = features.masked_fill(~keep, 0.0).sum(dim=1) / length[:, None]
        return self.output(self.dropout(torch.cat([largest, mean], dim=1)))
