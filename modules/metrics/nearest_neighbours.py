"""Classes by the nearest neighbours: a measure of how well a space keeps like things together.

Cover & Hart (1967), *Nearest neighbor pattern classification*.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

_CHUNK = 32  # whose distances to some ten thousand points stay in the cache


def nearest_neighbour_classes(
    known: Float[Tensor, "known size"],
    classes: Int[Tensor, " known"],
    asked: Float[Tensor, "asked size"],
    num_neighbours: int = 5,
) -> Int[Tensor, " asked"]:
    """The class that most of the nearest known points have, by Euclidean distance; exact, no approximation.

    Args:
        known: points.
        classes: theirs, from 0 on.
        asked: points whose class is wanted.
        num_neighbours: points that vote; all of them where fewer are known. Of classes with equally many
            votes the one with the lowest number wins.
    """
    num_neighbours = min(num_neighbours, len(known))
    # Half the squared distance, less what all share; in double precision no digit that matters is lost.
    known, asked = known.double(), asked.double()
    half_squares = known.square().sum(1) / 2
    found = []
    for chunk in asked.split(_CHUNK):
        distances = torch.addmm(half_squares, chunk, known.T, alpha=-1)
        nearest = distances.topk(num_neighbours, dim=1, largest=False).indices
        found.append(functional.one_hot(classes[nearest]).sum(1).argmax(1))
    return torch.cat(found)
