"""How many labels are inserted, deleted or replaced to make one sequence of another (Levenshtein 1966)."""

from collections.abc import Sequence

import numpy as np


def edit_distance(first: Sequence[int] | str, second: Sequence[int] | str) -> int:
    """The least number of insertions, deletions and replacements.

    Args:
        first: a sequence.
        second: another.
    """
    letters = np.array(list(second), dtype=object)
    places = np.arange(len(letters) + 1)
    row = places.copy()
    for label in first:
        # From above, and from above left; then what an insertion makes of what stands at the left.
        best = row + 1
        best[1:] = np.minimum(best[1:], row[:-1] + (letters != label))
        row = np.minimum.accumulate(best - places) + places
    return int(row[-1])
