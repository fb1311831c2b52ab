"""A whole text as one vector: an LSTM reads it in both directions, and what either says in the end is mapped.

Sutskever, Vinyals & Le (2014), arXiv 1409.3215, of one direction; Kiros, Salakhutdinov & Zemel (2014), arXiv
1411.2539, section 2.2, beside images.
"""

from jaxtyping import Float, Int
from torch import Tensor, nn

from modules.bricks.recurrent_layer import BidirectionalLayer, last_states


class TextEncoder(nn.Module):
    """From tokens to a vector.

    Args:
        vocab_size: tokens of the vocabulary.
        size: of the vector.
        embedding_size: numbers that stand for a token.
        hidden_size: of the state of each direction.
        dropout: share of the layer's inputs set to zero in training.
    """

    def __init__(
        self,
        vocab_size: int,
        size: int,
        embedding_size: int = 64,
        hidden_size: int = 128,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding_size)
        self.dropout = nn.Dropout(dropout)
        self.layer = BidirectionalLayer("lstm", embedding_size, hidden_size)
        self.output = nn.Linear(2 * hidden_size, size)

    def forward(
        self, tokens: Int[Tensor, "batch time"], length: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch size"]:
        """
        Args:
            tokens: their numbers, padded.
            length: tokens of each text, at least 1.
        """
        states = self.layer(self.dropout(self.embedding(tokens)), length)
        return self.output(last_states(states, length, "both"))
