"""Retrieval: how often what belongs together is found among everything.

Recall at k, R@k, as of Hodosh, Young & Hockenmaier (2013), *Framing image description as a ranking task*,
Journal of Artificial Intelligence Research 47, section 4.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

_CHUNK = 1000


def ranks(
    queries: Float[Tensor, "queries size"],
    answers: Float[Tensor, "answers size"],
    right: Int[Tensor, " queries"] | None = None,
) -> Int[Tensor, " queries"]:
    """How many answers are at least as close to each query as its own, by the product: 0 = it is first.

    An answer that is as close as the right one counts as before it: what gives everything one vector finds
    nothing.

    Args:
        queries: vectors.
        answers: vectors.
        right: the answer to each query; None = of the same number.
    """
    numbers = torch.arange(len(queries), device=queries.device) if right is None else right
    found = []
    for chunk, own in zip(queries.split(_CHUNK), numbers.split(_CHUNK), strict=True):
        scores = chunk @ answers.T
        found.append((scores >= scores.gather(1, own[:, None])).sum(dim=1) - 1)
    return torch.cat(found)


def recall(found: Int[Tensor, " queries"], most: int) -> float:
    """R@k: the share of queries whose right answer is among the first `most`."""
    return float((found < most).double().mean())
