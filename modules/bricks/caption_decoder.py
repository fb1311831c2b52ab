"""Writes a text of places: the cells of an image's maps, the frames of a clip.

With attention (Xu et al. 2015, *Show, attend and tell*, arXiv 1502.03044), soft, section 4.2: before each
token t the state h_{t-1} looks at all places a_i, and what it finds goes into the cell beside the token
before.

    z_t = beta_t sum_i alpha_ti a_i;  beta_t = sigmoid(f(h_{t-1}))
    h_t = LSTM([E y_{t-1}; z_t], h_{t-1});  h_0, c_0 = tanh of linear maps of the mean place
    logits = L (E y_{t-1} + L_h h_t + L_z z_t)          equation 7

Without it (Vinyals, Toshev, Bengio & Erhan 2014, *Show and tell*, arXiv 1411.4555, equations 10-12): the mean
place is what the cell reads first, before the begin token. Deviates: dropout where it is asked for.
"""

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from modules.bricks.attention import Attention
from modules.bricks.lstm_cell import LSTMCell

Encoded = tuple[Tensor, ...]
"""With attention: places, the same prepared for scores, and which of them count."""
Carried = tuple[Tensor, Tensor]
"""h and c."""


class CaptionDecoder(nn.Module):
    """From places to the logits of tokens.

    Args:
        vocab_size: tokens of the vocabulary.
        place_size: numbers of each place.
        embedding_size: numbers that stand for a token.
        hidden_size: of h and of c.
        attention: how state and place are compared; `none` reads their mean once.
        attention_size: numbers that `additive` attention compares them in; None = as the state has.
        dropout: share of the cell's inputs, and of what the logits are made of, set to zero in training.
    """

    def __init__(
        self,
        vocab_size: int,
        place_size: int,
        embedding_size: int = 128,
        hidden_size: int = 256,
        attention: Literal["none", "dot", "general", "additive"] = "additive",
        attention_size: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding_size)
        self.attention = None
        if attention != "none":
            self.attention = Attention(attention, hidden_size, place_size, attention_size)
        if self.attention is None:
            self.first_input = nn.Linear(place_size, embedding_size)
        else:
            self.first_state = nn.Linear(place_size, 2 * hidden_size)
            self.gate = nn.Linear(hidden_size, 1)
            self.from_context = nn.Linear(place_size, embedding_size, bias=False)
        self.cell = LSTMCell(embedding_size + (place_size if self.attention else 0), hidden_size)
        self.from_state = nn.Linear(hidden_size, embedding_size)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(embedding_size, vocab_size)

    def start(
        self, places: Float[Tensor, "batch places numbers"], keep: Bool[Tensor, "batch places"]
    ) -> tuple[Encoded, Carried]:
        """What stays from token to token, and the state before the first; see `step`."""
        mean = (places * keep[..., None]).sum(dim=1) / keep.sum(dim=1, keepdim=True)
        if self.attention is None:
            zeros = mean.new_zeros(mean.shape[0], self.cell.hidden_size)
            return (), self.cell(self.first_input(mean), (zeros, zeros))
        hidden, cell = self.first_state(mean).tanh().chunk(2, dim=1)
        return (places, self.attention.prepared(places), keep), (hidden, cell)

    def step(
        self, token: Int[Tensor, " batch"], state: tuple[Encoded, Carried]
    ) -> tuple[Float[Tensor, "batch vocab"], tuple[Encoded, Carried]]:
        """The logits of the token after one, and the state after it; see `modules.generation.decoding`."""
        logits, _, after = self._one(self.embedding(token), *state)
        return logits, (state[0], after)

    def forward(
        self,
        places: Float[Tensor, "batch places numbers"],
        keep: Bool[Tensor, "batch places"],
        text: Int[Tensor, "batch written"],
    ) -> tuple[Float[Tensor, "batch written vocab"], Float[Tensor, "batch written places"] | None]:
        """The logits of the token after each of a text's, and where was looked before each.

        Args:
            places: what is described.
            keep: which of them count: at least one of each sample.
            text: the tokens before each step, the begin token first (teacher forcing).

        Returns:
            Logits, and the weights alpha; None without attention.
        """
        encoded, carried = self.start(places, keep)
        logits: list[Tensor] = []
        weights: list[Tensor] = []
        for embedded in self.embedding(text).unbind(1):
            found, looked, carried = self._one(embedded, encoded, carried)
            logits.append(found)
            weights += [] if looked is None else [looked]
        return torch.stack(logits, 1), torch.stack(weights, 1) if weights else None

    def _one(
        self, embedded: Float[Tensor, "batch embedding"], encoded: Encoded, carried: Carried
    ) -> tuple[Float[Tensor, "batch vocab"], Tensor | None, Carried]:
        if self.attention is None:
            hidden, cell = self.cell(self.dropout(embedded), carried)
            return self.output(self.dropout(self.from_state(hidden))), None, (hidden, cell)
        found, looked = self.attention(carried[0][:, None], *encoded)
        context = self.gate(carried[0]).sigmoid() * found[:, 0]
        hidden, cell = self.cell(self.dropout(torch.cat([embedded, context], dim=1)), carried)
        told = embedded + self.from_state(hidden) + self.from_context(context)
        return self.output(self.dropout(told)), looked[:, 0], (hidden, cell)
