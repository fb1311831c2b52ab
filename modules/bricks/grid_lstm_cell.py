"""A cell of a Grid LSTM: an LSTM along each dimension of a grid, and each sees what comes in along all.

    H = [h_1 ... h_N];  (h'_i, m'_i) = LSTM(H, m_i, W_i) for each dimension i, where LSTM is
    g_u, g_f, g_o = sigmoid(W_u H), sigmoid(W_f H), sigmoid(W_o H);  g_c = tanh(W_c H)
    m' = g_f m + g_u g_c;  h' = tanh(g_o m')

Kalchbrenner, Danihelka & Graves (2015), *Grid long short-term memory*, arXiv 1507.01526, sections 2 and 3.1;
priority dimensions, which see the new h of the others, and dimensions without a memory: section 3.2.
Deviates: the gates have biases; that of g_f begins at 1, as in `lstm_cell`.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

Vectors = Sequence[Float[Tensor, "batch hidden"]]
"""One for each dimension."""


class GridLSTMCell(nn.Module):
    """One cell of the grid.

    Args:
        hidden_size: of h and of m along each dimension.
        num_dimensions: N.
        priority: dimensions, from 0, that come last and see what the others have made of their h.
        plain: dimensions without a memory: h' = tanh(V H).
    """

    def __init__(
        self,
        hidden_size: int,
        num_dimensions: int = 2,
        priority: Sequence[int] = (),
        plain: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.hidden_size, self.num_dimensions = hidden_size, num_dimensions
        self.plain = frozenset(plain)
        self.rounds = [
            [i for i in range(num_dimensions) if (i in priority) == last] for last in (False, True)
        ]
        # Of each dimension W_u, W_f, W_o and W_c above each other; V where it is plain.
        self.transforms = nn.ModuleList(
            nn.Linear(num_dimensions * hidden_size, (1 if i in self.plain else 4) * hidden_size)
            for i in range(num_dimensions)
        )
        for i, transform in enumerate(self.transforms):
            assert isinstance(transform, nn.Linear)
            initialise_gates(transform.weight[None], transform.bias[None], hidden_size, i in self.plain)

    def forward(self, hidden: Vectors, memory: Vectors) -> tuple[list[Tensor], list[Tensor]]:
        """h' and m' along each dimension, from what comes in; a plain dimension's m stays as it is."""
        hidden, memory = list(hidden), list(memory)
        for dimensions in self.rounds:
            incoming = torch.cat(hidden, dim=1)
            for i in dimensions:
                gates = self.transforms[i](incoming)
                if i in self.plain:
                    hidden[i] = gates.tanh()
                else:
                    hidden[i], memory[i] = lstm_transform(gates, memory[i])
        return hidden, memory


def lstm_transform(
    gates: Float[Tensor, "batch gates"], memory: Float[Tensor, "batch hidden"]
) -> tuple[Tensor, Tensor]:
    """h' and m' from the products W H, four side by side, and m."""
    write, keep, read, candidate = gates.chunk(4, dim=1)
    memory = keep.sigmoid() * memory + write.sigmoid() * candidate.tanh()
    return (read.sigmoid() * memory).tanh(), memory


@torch.no_grad()
def initialise_gates(
    weight: Float[Tensor, "cells gates incoming"],
    bias: Float[Tensor, "cells gates"],
    hidden_size: int,
    plain: bool = False,
) -> None:
    """Weights by Glorot & Bengio (2010), gate by gate; biases of zero, of g_f of 1."""
    for cell in weight:
        for gate in cell.split(hidden_size):
            nn.init.xavier_uniform_(gate)
    nn.init.zeros_(bias)
    if not plain:
        bias[:, hidden_size : 2 * hidden_size] = 1.0
