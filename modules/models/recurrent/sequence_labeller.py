"""A recurrent network that gives each step of a sequence a label, with one direction or with both.

Schuster & Paliwal (1997), *Bidirectional recurrent neural networks*, IEEE Transactions on Signal Processing
45, figure 3; Graves & Schmidhuber (2005), *Framewise phoneme classification with bidirectional LSTM*, Neural
Networks 18. With one direction a step's label depends on what came before it alone. Dropout between the
layers: Zaremba, Sutskever & Vinyals (2014), arXiv 1409.2329.
"""

from jaxtyping import Float, Int
from torch import Tensor, nn

from modules.bricks.recurrent_layer import CellName, Directions, recurrent_layers, through_layers


class SequenceLabeller(nn.Module):
    """Embedding, recurrent layers, one logit for each label at each step.

    Args:
        vocab_size: tokens of the vocabulary.
        num_labels: labels to choose from.
        embedding_size: numbers that stand for a token.
        hidden_size: of the state of each direction of each layer.
        num_layers: recurrent layers.
        cell: `elman`, `lstm`, `gru` or a variant (see `modules.bricks.recurrent_layer`).
        directions: `both`, or `forwards` alone.
        dropout: share of each layer's inputs, and of what the logits are made of, set to zero in training.
    """

    def __init__(
        self,
        vocab_size: int,
        num_labels: int,
        embedding_size: int = 64,
        hidden_size: int = 128,
        num_layers: int = 1,
        cell: CellName = "lstm",
        directions: Directions = "both",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding_size)
        self.layers, width = recurrent_layers(cell, directions, embedding_size, hidden_size, num_layers)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(width, num_labels)

    def forward(
        self, tokens: Int[Tensor, "batch time"], length: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch time labels"]:
        """Logits, one for each label and step; what lies in the padding means nothing.

        Args:
            tokens: their numbers, padded.
            length: tokens of each sequence, at least 1.
        """
        features = through_layers(self.layers, self.embedding(tokens), length, self.dropout)
        return self.output(self.dropout(features))
