"""A whole text as one vector: an LSTM reads it in both directions, and what either says in the end is mapped.

Sutskever, Vinyals & Le (2014), arXiv 1409.3215, of one direction; Kiros, Salakhutdinov & Zemel (2014), arXiv
1411.2539, section 2.2, beside images. To compare: the average of the words' vectors, which knows no order.
"""

from typing import Literal

from jaxtyping import Float, Int
from torch import Tensor, nn

from modules.bricks.padding import kept
from modules.bricks.recurrent_layer import BidirectionalLayer, last_states


class TextEncoder(nn.Module):
    """From tokens to a vector.

    Args:
        vocab_size: tokens of the vocabulary.
        size: of the vector.
        embedding_size: numbers that stand for a token.
        hidden_size: of the state of each direction.
        dropout: share of the layer's inputs set to zero in training.
        reading: `recurrent`, or `average` of the tokens' vectors.
    """

    def __init__(
        self,
        vocab_size: int,
        size: int,
        embedding_size: int = 64,
        hidden_size: int = 128,
        dropout: float = 0.0,
        reading: Literal["recurrent", "average"] = "recurrent",
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding_size)
        self.dropout = nn.Dropout(dropout)
        self.layer = None
        if reading == "recurrent":
            self.layer = BidirectionalLayer("lstm", embedding_size, hidden_size)
        self.output = nn.Linear(embedding_size if self.layer is None else 2 * hidden_size, size)

    def forward(
        self, tokens: Int[Tensor, "batch time"], length: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch size"]:
        """
        Args:
            tokens: their numbers, padded.
            length: tokens of each text, at least 1.
        """
        embedded = self.dropout(self.embedding(tokens))
        if self.layer is None:
            keep = kept(length, tokens)
            return self.output((embedded * keep[..., None]).sum(dim=1) / length[:, None])
        states = self.layer(embedded, length)
        return self.output(last_states(states, length, "both"))
