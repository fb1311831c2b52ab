"""Attention: for each query a mean of the values at all places, weighted by how well query and place agree.

a_qt = softmax over t of score(s_q, h_t);  c_q = sum_t a_qt h_t

dot       s . h                       Luong, Pham & Manning (2015), arXiv 1508.04025, equation 8
general   s . W h                     the same
additive  v . tanh(W s + U h)         Bahdanau, Cho & Bengio (2014), arXiv 1409.0473, appendix A.1.2
"""

from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor, nn

Score = Literal["dot", "general", "additive"]


class Attention(nn.Module):
    """Weights over places, and what they gather.

    Args:
        score: how query and place are compared.
        query_size: numbers of a query s.
        key_size: numbers of a place h.
        hidden_size: of `additive`, of v; None = as a query has.

    Raises:
        ValueError: `dot` with queries and places of two sizes.
    """

    def __init__(self, score: Score, query_size: int, key_size: int, hidden_size: int | None = None) -> None:
        super().__init__()
        if score == "dot" and query_size != key_size:
            raise ValueError(f"attention by dot product compares {query_size} numbers with {key_size}")
        self.score = score
        if score == "general":
            self.keys = nn.Linear(key_size, query_size, bias=False)
        if score == "additive":
            hidden_size = hidden_size or query_size
            self.queries = nn.Linear(query_size, hidden_size, bias=False)
            self.keys = nn.Linear(key_size, hidden_size)
            self.values = nn.Linear(hidden_size, 1, bias=False)

    def prepared(self, places: Float[Tensor, "batch time keys"]) -> Float[Tensor, "batch time hidden"]:
        """What of the places' share in the score is the same for all queries."""
        return places if self.score == "dot" else self.keys(places)

    def forward(
        self,
        queries: Float[Tensor, "batch queries size"],
        places: Float[Tensor, "batch time keys"],
        prepared: Float[Tensor, "batch time hidden"],
        keep: Bool[Tensor, "batch time"],
    ) -> tuple[Float[Tensor, "batch queries keys"], Float[Tensor, "batch queries time"]]:
        """What each query gathers, c, and with which weights, a.

        Args:
            queries: s.
            places: h.
            prepared: of `places`.
            keep: which places count: at least one of each sample.
        """
        if self.score == "additive":
            agreement = (self.queries(queries)[:, :, None] + prepared[:, None]).tanh()
            scores = self.values(agreement)[..., 0]
        else:
            scores = queries @ prepared.transpose(1, 2)
        weights = scores.masked_fill(~keep[:, None], float("-inf")).softmax(dim=2)
        return weights @ places, weights
