"""The order of a grid's cells: every neighbour before a cell is in the diagonal before."""

from itertools import product

import pytest
import torch

from modules.bricks.diagonal_order import diagonal_order


@pytest.mark.parametrize("sizes", [(5,), (1, 1), (3, 4), (4, 1), (2, 3, 4)])
def test_each_cell_follows_its_neighbours(sizes: tuple[int, ...]) -> None:
    order = diagonal_order(sizes, torch.device("cpu"))
    cells = list(product(*(range(size) for size in sizes)))
    assert sorted(order.cells.tolist()) == list(range(len(cells)))
    assert [int(order.places[cell]) for cell in order.cells.tolist()] == list(range(len(cells)))
    assert len(order.diagonals) == sum(sizes) - len(sizes) + 1
    for number, (start, stop) in enumerate(order.diagonals):
        for place in range(start, stop):
            cell = cells[order.cells[place]]
            assert sum(cell) == number
            for axis in range(len(sizes)):
                for neighbours, step in ((order.before, -1), (order.after, 1)):
                    other = tuple(value + step * (axis == along) for along, value in enumerate(cell))
                    place_of_other = int(neighbours[place, axis])
                    if other in cells:
                        assert cells[order.cells[place_of_other]] == other
                    else:
                        assert place_of_other == len(cells)
