"""Attention against its equations, place by place."""

import pytest
import torch

from modules.bricks.attention import Attention, Score
from modules.bricks.padding import kept


@pytest.mark.parametrize("score", ["dot", "general", "additive"])
def test_it_is_its_equation_for_each_query_and_place(score: Score) -> None:
    torch.manual_seed(0)
    size = 4 if score == "dot" else 6
    attention = Attention(score, 4, size, hidden_size=5 if score == "additive" else None)
    queries, places = torch.randn(2, 3, 4), torch.randn(2, 5, size)
    length = torch.tensor([5, 3])
    found, weights = attention(queries, places, attention.prepared(places), kept(length, places))
    for sample in range(2):
        for query in range(3):
            scores = []
            for place in places[sample, : length[sample]]:
                s = queries[sample, query]
                if score == "dot":
                    scores.append(s @ place)
                elif score == "general":
                    scores.append(s @ attention.keys.weight @ place)
                else:
                    h = attention.queries.weight @ s + attention.keys.weight @ place + attention.keys.bias
                    scores.append(attention.values.weight[0] @ h.tanh())
            expected = torch.stack(scores).softmax(0)
            torch.testing.assert_close(weights[sample, query, : length[sample]], expected)
            assert (weights[sample, query, length[sample] :] == 0).all()
            torch.testing.assert_close(found[sample, query], expected @ places[sample, : length[sample]])


def test_a_dot_product_wants_one_size() -> None:
    with pytest.raises(ValueError, match="compares 4 numbers with 6"):
        Attention("dot", 4, 6)
