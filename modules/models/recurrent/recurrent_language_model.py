"""A recurrent language model: after each token, how likely each token is to come next.

Mikolov et al. (2010), *Recurrent neural network based language model*, Interspeech; with LSTM cells as in
Graves (2013), *Generating sequences with recurrent neural networks*, section 2, arXiv 1308.0850. Dropout
between the layers: Zaremba, Sutskever & Vinyals (2014), arXiv 1409.2329. Deviates: no connections past a
layer, as Graves has.
"""

from jaxtyping import Float, Int
from torch import Tensor, nn

from modules.bricks.recurrent_layer import CellName, RecurrentLayer

State = tuple[Tensor, ...]
"""The states of all layers, the lowest first, each [batch, hidden]."""


class RecurrentLanguageModel(nn.Module):
    """Embedding, recurrent layers, one logit for each token of the vocabulary.

    Args:
        vocab_size: tokens of the vocabulary.
        embedding_size: numbers that stand for a token.
        hidden_size: of each layer's state.
        num_layers: recurrent layers.
        cell: `elman`, `lstm`, `gru` or a variant (see `modules.bricks.recurrent_layer`).
        dropout: share of each layer's inputs, and of what the logits are made of, set to zero in training.
        recompute: less memory for more time in the backward pass (see `modules.bricks.recurrent_layer`).
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_size: int = 64,
        hidden_size: int = 512,
        num_layers: int = 1,
        cell: CellName = "lstm",
        dropout: float = 0.0,
        recompute: bool = False,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding_size)
        sizes = [embedding_size, *[hidden_size] * (num_layers - 1)]
        self.layers = nn.ModuleList(RecurrentLayer(cell, size, hidden_size, recompute) for size in sizes)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden_size, vocab_size)

    def forward(
        self, tokens: Int[Tensor, "batch time"], state: State | None = None
    ) -> tuple[Float[Tensor, "batch time vocab"], State]:
        """The logits of the token after each, and the state after the last.

        Args:
            tokens: their numbers.
            state: after the tokens before these; None where these are the first.
        """
        outputs = self.embedding(tokens)
        states: list[Tensor] = []
        per_layer = len(state) // len(self.layers) if state else 0
        for number, layer in enumerate(self.layers):
            before = state[number * per_layer : (number + 1) * per_layer] if state else None
            outputs, after = layer(self.dropout(outputs), before)
            states += after
        return self.output(self.dropout(outputs)), tuple(states)

    def step(
        self, token: Int[Tensor, " batch"], state: State | None
    ) -> tuple[Float[Tensor, "batch vocab"], State]:
        """The logits of the token after one, and the state after it; see `modules.generation.decoding`."""
        logits, after = self(token[:, None], state)
        return logits[:, 0], after
