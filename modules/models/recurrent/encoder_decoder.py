"""Encoder and decoder: one recurrent network reads a sequence, another writes one, a token at a time.

Sutskever, Vinyals & Le (2014), *Sequence to sequence learning with neural networks*, arXiv 1409.3215; Cho et
al. (2014), arXiv 1406.1078, section 2.2. With attention (`modules.bricks.attention`) the decoder looks at
every step that was read: Bahdanau, Cho & Bengio (2014), arXiv 1409.0473; Luong, Pham & Manning (2015), arXiv
1508.04025, equations 5-7, h~ = tanh(W [c; h]), and section 3.3, input feeding: h~ goes into the next step.

Deviates: the decoder begins with a linear map of what the encoder says in the end, as in Bahdanau's appendix
A.2.2, also of an LSTM, whose cells Sutskever copies.
"""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from modules.bricks.attention import Attention
from modules.bricks.padding import kept
from modules.bricks.recurrent_layer import (
    CellName,
    Directions,
    RecurrentLayer,
    last_states,
    recurrent_layers,
    reversed_within,
    through_layers,
)

Encoded = tuple[Tensor, ...]
"""What was read: with attention every step of it, the same prepared for scores, and which steps count."""
Carried = tuple[Tensor, ...]
"""What goes from step to step of the decoder: its layers' states, and with input feeding h~ before them."""


class EncoderDecoder(nn.Module):
    """From the tokens of one vocabulary to those of another.

    Args:
        source_size: tokens of the vocabulary that is read.
        target_size: tokens of the vocabulary that is written.
        embedding_size: numbers that stand for a token.
        hidden_size: of each layer's state; of an encoder in both directions of each of them.
        num_layers: of the encoder, and of the decoder.
        cell: see `modules.bricks.recurrent_layer`.
        directions: of the encoder.
        attention: how the decoder's state is compared with what was read; `none` leaves it the encoder's end.
        input_feeding: whether what attention found goes into the next step.
        reverse_source: whether the source is read from its end (Sutskever et al. 2014, section 3.3).
        dropout: share of each layer's inputs, and of what the logits are made of, set to zero in training.

    Raises:
        ValueError: input feeding without attention.
    """

    def __init__(
        self,
        source_size: int,
        target_size: int,
        embedding_size: int = 128,
        hidden_size: int = 256,
        num_layers: int = 1,
        cell: CellName = "lstm",
        directions: Directions = "both",
        attention: Literal["none", "dot", "general", "additive"] = "general",
        input_feeding: bool = False,
        reverse_source: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if input_feeding and attention == "none":
            raise ValueError("input_feeding feeds what attention found, and attention is none")
        self.directions: Directions = directions
        self.reverse_source = reverse_source
        self.source_embedding = nn.Embedding(source_size, embedding_size)
        self.target_embedding = nn.Embedding(target_size, embedding_size)
        self.encoder, width = recurrent_layers(cell, directions, embedding_size, hidden_size, num_layers)
        first = embedding_size + hidden_size * input_feeding
        sizes = [first, *[hidden_size] * (num_layers - 1)]
        self.decoder = nn.ModuleList(RecurrentLayer(cell, size, hidden_size) for size in sizes)
        self.num_states: int = num_layers * self.decoder[0].cell.num_states  # pyright: ignore
        self.bridge = nn.Linear(width, self.num_states * hidden_size)
        self.input_feeding = input_feeding
        self.attention = None if attention == "none" else Attention(attention, hidden_size, width)
        if self.attention:
            self.combine = nn.Linear(width + hidden_size, hidden_size, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden_size, target_size)

    def forward(
        self,
        source: Int[Tensor, "batch time"],
        length: Int[Tensor, " batch"],
        target: Int[Tensor, "batch written"],
    ) -> Float[Tensor, "batch written vocab"]:
        """The logits of the token after each of the target's.

        Args:
            source: tokens that are read, padded.
            length: how many of them each sample has, at least 1.
            target: tokens that are written before each step, the begin token first (teacher forcing).
        """
        return self.attended(source, length, target)[0]

    def attended(
        self,
        source: Int[Tensor, "batch time"],
        length: Int[Tensor, " batch"],
        target: Int[Tensor, "batch written"],
    ) -> tuple[Float[Tensor, "batch written vocab"], Float[Tensor, "batch written time"] | None]:
        """Logits as of `forward`, and where the decoder looked before it wrote each token; None without
        attention."""
        found, weights = self._decoded(source, length, target)
        return self.output(self.dropout(found)), weights

    def start(
        self, source: Int[Tensor, "batch time"], length: Int[Tensor, " batch"]
    ) -> tuple[Encoded, Carried]:
        """What the decoder begins with; see `step`."""
        embedded = self.source_embedding(source)
        if self.reverse_source:
            embedded = reversed_within(embedded, length)
        read = through_layers(self.encoder, embedded, length, self.dropout)
        states = self.bridge(last_states(read, length, self.directions)).tanh().chunk(self.num_states, dim=1)
        if self.attention is None:
            return (), states
        encoded = (read, self.attention.prepared(read), kept(length, source))
        return encoded, (torch.zeros_like(states[0]), *states) if self.input_feeding else states

    def step(
        self, token: Int[Tensor, " batch"], state: tuple[Encoded, Carried]
    ) -> tuple[Float[Tensor, "batch vocab"], tuple[Encoded, Carried]]:
        """The logits of the token after one, and the state after it; see `modules.generation.decoding`."""
        found, _, after = self._one(self.target_embedding(token), *state)
        return self.output(found), (state[0], after)

    def _decoded(
        self, source: Tensor, length: Tensor, target: Tensor
    ) -> tuple[Float[Tensor, "batch written hidden"], Float[Tensor, "batch written time"] | None]:
        encoded, carried = self.start(source, length)
        outputs = self.target_embedding(target)
        if self.input_feeding:
            steps = []
            for step in outputs.unbind(1):
                found, weights, carried = self._one(step, encoded, carried)
                steps.append((found, weights))
            return torch.stack([one for one, _ in steps], 1), torch.cat([one for _, one in steps], 1)
        per_layer = self.num_states // len(self.decoder)
        for number, layer in enumerate(self.decoder):
            before = carried[number * per_layer : (number + 1) * per_layer]
            outputs, _ = layer(self.dropout(outputs), before)
        return self._attended(outputs, encoded)

    def _one(
        self, embedded: Float[Tensor, "batch inputs"], encoded: Encoded, carried: Carried
    ) -> tuple[Float[Tensor, "batch hidden"], Tensor | None, Carried]:
        """A step of all layers: what the logits are made of, attention's weights, and what is carried on."""
        states = list(carried)
        if self.input_feeding:
            embedded = torch.cat([embedded, states.pop(0)], dim=1)
        after: list[Tensor] = []
        per_layer = self.num_states // len(self.decoder)
        for number, layer in enumerate(self.decoder):
            state = tuple(states[number * per_layer : (number + 1) * per_layer])
            found = layer.cell(self.dropout(embedded), state)  # pyright: ignore
            after += found
            embedded = found[0]
        outputs, weights = self._attended(embedded[:, None], encoded)
        return outputs[:, 0], weights, (outputs[:, 0], *after) if self.input_feeding else tuple(after)

    def _attended(
        self, states: Float[Tensor, "batch written hidden"], encoded: Encoded
    ) -> tuple[Float[Tensor, "batch written hidden"], Float[Tensor, "batch written time"] | None]:
        if self.attention is None:
            return states, None
        context, weights = self.attention(states, *encoded)
        return self.combine(torch.cat([context, states], dim=2)).tanh(), weights
