"""The cells of a grid in an order in which a recurrent network may compute them, many at a time.

A cell of a multi-dimensional network waits for the cells before it along each axis (Graves, Fernandez &
Schmidhuber 2007, arXiv 0705.2011, figure 2). Those whose coordinates have one sum form a diagonal and wait
for the diagonal before alone: together they are one product of matrices, and a grid of 28x28 is 55 steps,
not 784 ("wavefront": Lamport 1974, *The parallel execution of DO loops*, Communications of the ACM 17).
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor


@dataclass(frozen=True)
class DiagonalOrder:
    """Cells sorted by diagonal, so that each diagonal is a slice.

    Attributes:
        cells: of each place in the order the cell that stands there, numbered along the rows of the grid.
        places: of each cell its place in the order.
        diagonals: where each diagonal begins and ends in the order.
        before: of each place those of the neighbours before it along each axis; the number of cells where the
            grid has none.
        after: likewise of the neighbours after it.
    """

    cells: Int[Tensor, " cells"]
    places: Int[Tensor, " cells"]
    diagonals: tuple[tuple[int, int], ...]
    before: Int[Tensor, "cells axes"]
    after: Int[Tensor, "cells axes"]


def diagonal_order(sizes: tuple[int, ...], device: torch.device) -> DiagonalOrder:
    """The order of a grid.

    Args:
        sizes: cells along each axis, each at least 1.
        device: where the numbers are to lie.
    """
    diagonals, *numbers = _numbers(sizes)
    cells, places, before, after = (torch.from_numpy(one).to(device) for one in numbers)
    return DiagonalOrder(cells, places, diagonals, before, after)


@lru_cache(maxsize=64)
def _numbers(sizes: tuple[int, ...]) -> tuple[Any, ...]:
    """By NumPy, so that they are numbers also where tensors are symbolic or a program is traced."""
    coordinates = np.indices(sizes).reshape(len(sizes), -1)
    sums = coordinates.sum(0)
    cells = sums.argsort(kind="stable")
    places, num_cells = cells.argsort(), len(cells)
    before, after = [], []
    for axis, size in enumerate(sizes):
        step, along = prod(sizes[axis + 1 :]), coordinates[axis, cells]
        before.append(np.where(along > 0, places[np.maximum(cells - step, 0)], num_cells))
        after.append(np.where(along < size - 1, places[np.minimum(cells + step, num_cells - 1)], num_cells))
    ends = [0, *np.bincount(sums).cumsum().tolist()]
    return tuple(pairwise(ends)), cells, places, np.stack(before, axis=1), np.stack(after, axis=1)
