"""How far two samples of points are from being of one distribution.

    D = 2 E|x - y| - E|x - x'| - E|y - y'|

Székely & Rizzo (2013), *Energy statistics: a class of statistics based on distances*, Journal of Statistical
Planning and Inference 143, equation 5, without pairs of a point with itself: 0 in the mean where both are of
one distribution, so that it may fall below.
"""

from jaxtyping import Float
from torch import Tensor, cdist


def energy_distance(
    one: Float[Tensor, "first size"], other: Float[Tensor, "second size"]
) -> Float[Tensor, ""]:
    """
    Args:
        one: points, at least two.
        other: points, at least two.
    """
    within = [cdist(some, some).sum() / (len(some) * (len(some) - 1)) for some in (one, other)]
    return 2 * cdist(one, other).mean() - within[0] - within[1]
