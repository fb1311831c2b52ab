"""The cells of a grid in an order in which a recurrent network may compute them, many at a time.

A cell of a multi-dimensional network waits for the cells before it along each axis (Graves, Fernandez &
Schmidhuber 2007, arXiv 0705.2011, figure 2). Those whose coordinates have one sum form a diagonal and wait
for the diagonal before alone: together they are one product of matrices, and a grid of 28x28 is 55 steps,
not 784 ("wavefront": Lamport 1974, *The parallel execution of DO loops*, Communications of the ACM 17).
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

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


@lru_cache(maxsize=64)
def diagonal_order(sizes: tuple[int, ...], device: torch.device) -> DiagonalOrder:
    """The order of a grid.

    Args:
        sizes: cells along each axis, each at least 1.
        device: where the numbers are to lie.
    """
    with torch.device("cpu"):  # the numbers are needed also where tensors are symbolic
        axes = torch.meshgrid(*(torch.arange(size) for size in sizes), indexing="ij")
        coordinates = torch.stack(axes, dim=-1).flatten(0, -2)
        sums = coordinates.sum(1)
        cells = sums.argsort(stable=True)
        num_cells = len(cells)
        places = cells.argsort()
        numbers = torch.arange(num_cells).view(sizes)
        before, after = [], []
        for axis, size in enumerate(sizes):
            step = numbers.stride(axis)
            place, number = coordinates[cells, axis], cells
            before.append(torch.where(place > 0, places[(number - step).clamp(min=0)], num_cells))
            after.append(
                torch.where(place < size - 1, places[(number + step).clamp(max=num_cells - 1)], num_cells)
            )
        ends = [0, *sums.bincount().cumsum(0).tolist()]
    return DiagonalOrder(
        cells.to(device),
        places.to(device),
        tuple(pairwise(ends)),
        torch.stack(before, dim=1).to(device),
        torch.stack(after, dim=1).to(device),
    )
