"""Multi-dimensional LSTMs over whole grids, a diagonal at a time and all directions at once.

What `md_lstm_cell` computes cell by cell, with `modules.bricks.diagonal_order`: one product of matrices for
each diagonal and axis, batched over the directions. The backward pass goes through the diagonals from the
last; the gradients of all weights are one product each over all cells, after it.
"""

from contextlib import nullcontext
from itertools import product
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from modules.bricks.diagonal_order import DiagonalOrder, diagonal_order


def over_grid(
    inputs: Float[Tensor, "batch *sizes inputs"],
    weight_input: Float[Tensor, "directions inputs gates"],
    weight_hidden: Float[Tensor, "directions axes hidden gates"],
    bias: Float[Tensor, "directions gates"],
) -> Float[Tensor, "batch *sizes directions hidden"]:
    """The state h of every cell, in every direction.

    Args:
        inputs: of every cell.
        weight_input: of the cell of each direction, as `MDLSTMCell` has it; the first begins at the first
            cell of every axis, the second at the last of the last axis, and so on (see `turned_axes`).
        weight_hidden: likewise.
        bias: likewise.
    """
    sizes = inputs.shape[1:-1]
    order = diagonal_order(tuple(sizes), inputs.device)
    cells, places = _by_direction(tuple(sizes), len(weight_input), order)
    # Cells in front, so that a diagonal of a batch is one block of memory.
    flat = inputs.flatten(1, -2).transpose(0, 1)
    # In the weights' own precision: rounded products would be added to sums that are not.
    device = inputs.device.type
    mixed = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
    with torch.autocast(device, enabled=False) if mixed else nullcontext():
        flat = flat.to(weight_input.dtype)
        hidden = _OverDiagonals.apply(flat, weight_input, weight_hidden, bias, order, cells, places)
    return hidden.permute(2, 1, 0, 3).unflatten(1, sizes)


def turned_axes(num_axes: int, num_directions: int) -> list[tuple[int, ...]]:
    """The axes along which each direction runs from the end."""
    every = [
        tuple(axis for axis, turned in enumerate(which) if turned)
        for which in product((False, True), repeat=num_axes)
    ]
    return every[:num_directions]


def _by_direction(sizes: tuple[int, ...], num_directions: int, order: DiagonalOrder) -> tuple[Tensor, Tensor]:
    """Of each direction `DiagonalOrder.cells` and `DiagonalOrder.places`, [directions, cells] both."""
    numbers = torch.arange(len(order.cells), device=order.cells.device).view(sizes)
    axes_of = turned_axes(len(sizes), num_directions)
    turned = torch.stack([numbers.flip(axes).flatten() for axes in axes_of])
    return turned[:, order.cells], order.places[turned]


class _OverDiagonals(torch.autograd.Function):
    """[cells, batch, inputs] -> [directions, cells, batch, hidden], cells along the grid's rows in both."""

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        weight_input: Tensor,
        weight_hidden: Tensor,
        bias: Tensor,
        order: DiagonalOrder,
        cells: Tensor,
        places: Tensor,
    ) -> Tensor:
        num_directions, num_axes, size, width = weight_hidden.shape
        num_cells, batch, _ = inputs.shape
        ordered = inputs[cells].flatten(1, 2)
        gates = torch.baddbmm(bias[:, None], ordered, weight_input).view(
            num_directions, num_cells, batch, width
        )
        # A row of zeros behind the last cell stands for what lies outside the grid.
        hidden, cell = (
            _with_row_of_zeros(gates.new_empty(num_directions, num_cells + 1, batch, size)) for _ in range(2)
        )
        squashed = gates.new_empty(num_directions, num_cells, batch, size)
        read, keep = slice(size), [slice((1 + axis) * size, (2 + axis) * size) for axis in range(num_axes)]
        write, candidate = slice(-2 * size, -size), slice(-size, None)
        for start, stop in order.diagonals:
            here = gates[:, start:stop]
            flat, before = here.flatten(1, 2), order.before[start:stop]
            for axis in range(num_axes) if start else ():  # the first cell has no neighbours
                neighbours = hidden.index_select(1, before[:, axis]).flatten(1, 2)
                torch.baddbmm(flat, neighbours, weight_hidden[:, axis], out=flat)
            here[..., :-size].sigmoid_()
            here[..., candidate].tanh_()
            new = torch.mul(here[..., write], here[..., candidate], out=cell[:, start:stop])
            for axis in range(num_axes) if start else ():
                new.addcmul_(here[..., keep[axis]], cell.index_select(1, before[:, axis]))
            torch.tanh(new, out=squashed[:, start:stop])
            torch.mul(here[..., read], squashed[:, start:stop], out=hidden[:, start:stop])
        ctx.order, ctx.cells, ctx.places = order, cells, places
        ctx.save_for_backward(ordered, weight_input, weight_hidden, gates, hidden, cell, squashed)
        return _reordered(hidden[:, :num_cells], places)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        ordered, weight_input, weight_hidden, gates, hidden, cell, squashed = ctx.saved_tensors
        order: DiagonalOrder = ctx.order
        num_directions, num_axes, size, width = weight_hidden.shape
        _, num_cells, batch, _ = gates.shape
        d_hidden = _reordered(grads[0], ctx.cells)
        # What each gate's gradient is, of h (the read gate) or of c (all others), of all cells at once.
        opened, candidate = gates[..., :-size].unflatten(-1, (-1, size)), gates[..., -size:]
        slope = opened * (1 - opened)
        of_hidden = squashed * slope[..., 0, :]
        of_cell = gates.new_empty(num_directions, num_cells, batch, num_axes + 2, size)
        for axis in range(num_axes):
            before = cell.index_select(1, order.before[:, axis])
            torch.mul(before, slope[..., 1 + axis, :], out=of_cell[..., axis, :])
        torch.mul(candidate, slope[..., -1, :], out=of_cell[..., -2, :])
        torch.mul(opened[..., -1, :], 1 - candidate * candidate, out=of_cell[..., -1, :])
        through = opened[..., 0, :] * (1 - squashed * squashed)
        d_gates = _with_row_of_zeros(gates.new_empty(num_directions, num_cells + 1, batch, width))
        d_before = [_with_row_of_zeros(torch.empty_like(cell)) for _ in range(num_axes)]
        for start, stop in reversed(order.diagonals):
            after, here = order.after[start:stop], d_hidden[:, start:stop]
            flat = here.flatten(1, 2)
            is_last = stop == num_cells
            for axis in range(num_axes) if not is_last else ():
                later = d_gates.index_select(1, after[:, axis]).flatten(1, 2)
                torch.baddbmm(flat, later, weight_hidden[:, axis].transpose(1, 2), out=flat)
            d_cell = here * through[:, start:stop]
            for axis in range(num_axes) if not is_last else ():
                d_cell += d_before[axis].index_select(1, after[:, axis])
            of_here = d_gates[:, start:stop]
            torch.mul(here, of_hidden[:, start:stop], out=of_here[..., :size])
            others = of_here[..., size:].unflatten(-1, (num_axes + 2, size))
            torch.mul(d_cell[..., None, :], of_cell[:, start:stop], out=others)
            for axis in range(num_axes) if start else ():
                torch.mul(d_cell, opened[:, start:stop, :, 1 + axis], out=d_before[axis][:, start:stop])
        flat = d_gates[:, :num_cells].flatten(1, 2)
        d_weight_hidden = torch.stack(
            [
                hidden.index_select(1, order.before[:, axis]).flatten(1, 2).transpose(1, 2) @ flat
                for axis in range(num_axes)
            ],
            dim=1,
        )
        d_inputs = None
        if ctx.needs_input_grad[0]:
            by_direction = (flat @ weight_input.transpose(1, 2)).view(num_directions, num_cells, batch, -1)
            d_inputs = _reordered(by_direction, ctx.places).sum(0)
        return d_inputs, ordered.transpose(1, 2) @ flat, d_weight_hidden, flat.sum(1), None, None, None


def _with_row_of_zeros(
    values: Float[Tensor, "directions cells batch features"],
) -> Float[Tensor, "directions cells batch features"]:
    values[:, -1] = 0
    return values


def _reordered(
    values: Float[Tensor, "directions cells batch features"], orders: Tensor
) -> Float[Tensor, "directions cells batch features"]:
    """Each direction's cells in another order."""
    return torch.stack([one[order] for one, order in zip(values, orders, strict=True)])
