"""Average precision of a ranking: how far up the right ones stand.

Everingham et al. (2010), *The Pascal visual object classes (VOC) challenge*, section 3.4.1, at every recall
that occurs, as since 2010.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def ranking_precision(
    scores: Float[Tensor, "samples classes"], truth: Bool[Tensor, "samples classes"]
) -> Float[Tensor, " classes"]:
    """Of each class the mean, over the samples that have it, of the precision down to where they stand.

    Args:
        scores: the higher, the surer.
        truth: which samples have which class.

    Returns:
        In float64; NaN of a class that no sample has.
    """
    order = scores.argsort(dim=0, descending=True, stable=True)
    hits = truth.gather(0, order).double()
    ranks = torch.arange(1, len(scores) + 1, dtype=torch.float64, device=scores.device)[:, None]
    precision = hits.cumsum(0) / ranks
    return (precision * hits).sum(0) / hits.sum(0)
