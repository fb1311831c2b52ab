"""A two-dimensional Grid LSTM, time by depth, computed by diagonals.

The cell (t, d) waits for (t - 1, d) along time and for (t, d - 1) along depth, so all cells of one t + d are
one product of matrices (`diagonal_order` has the general case): time + depth - 1 products, not time x depth.
The backward pass is written out here, for autograd would copy as much as it computes: every diagonal leaves
its values in a slice of tensors that hold all cells, and the gradient of tied weights is one product of them.

Kalchbrenner, Danihelka & Graves (2015), arXiv 1507.01526, sections 3.1 and 3.4. Both dimensions are LSTMs and
neither has priority.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from modules.bricks.grid_lstm_cell import initialise_gates


class GridLSTMLayer(nn.Module):
    """The cells of a grid of time by depth.

    Args:
        hidden_size: of h and of m along either dimension.
        depth: cells above each other.
        tied: whether all of them share one set of weights; otherwise each depth has its own.
    """

    def __init__(self, hidden_size: int, depth: int, tied: bool = True) -> None:
        super().__init__()
        self.hidden_size, self.depth, self.tied = hidden_size, depth, tied
        # Rows: g_u, g_f, g_o, g_c, of each first those along time and then those along depth.
        cells = 1 if tied else depth
        self.weight = nn.Parameter(torch.empty(cells, 8 * hidden_size, 2 * hidden_size))
        self.bias = nn.Parameter(torch.empty(cells, 8 * hidden_size))
        initialise_gates(self.weight, self.bias, 2 * hidden_size)

    def forward(
        self, hidden: Float[Tensor, "time batch hidden"], memory: Float[Tensor, "time batch hidden"]
    ) -> tuple[Float[Tensor, "time batch hidden"], Float[Tensor, "time batch hidden"]]:
        """h and m that leave the grid along depth at each step; along time both begin with zeros.

        Args:
            hidden: h that enters along depth at each step.
            memory: m that enters along depth at each step.
        """
        return _Grid.apply(hidden, memory, self.weight, self.bias, self.depth)  # pyright: ignore


@dataclass(frozen=True)
class _Diagonal:
    """The cells of one t + d, of depths `low` to `high`, which lie from `first` to `end` among all."""

    low: int
    high: int
    first: int
    end: int


def _diagonals(time: int, depth: int) -> list[_Diagonal]:
    found, first = [], 0
    for number in range(time + depth - 1):
        low, high = max(0, number + 1 - time), min(depth, number + 1)
        found.append(_Diagonal(low, high, first, first + high - low))
        first += high - low
    return found


def _move(cells: Tensor, after: Tensor, here: _Diagonal, there: _Diagonal, onwards: bool) -> None:
    """What leaves the cells of a diagonal enters those of the next: onwards, or a gradient back.

    Both are [cells, batch, 2 hidden], of which the first half goes along time.
    """
    size = cells.shape[2] // 2
    along_time = (slice(there.low - here.low, here.high - here.low), slice(0, here.high - there.low))
    num_above = there.high - max(there.low, here.low + 1)
    start = max(there.low, here.low + 1)
    along_depth = (
        slice(start - 1 - here.low, start - 1 - here.low + num_above),
        slice(start - there.low, start - there.low + num_above),
    )
    for (leaving, entering), half in ((along_time, slice(0, size)), (along_depth, slice(size, None))):
        if onwards:
            after[entering, :, half] = cells[leaving, :, half]
        else:
            cells[leaving, :, half] = after[entering, :, half]


class _Grid(torch.autograd.Function):
    """Tensors of all cells are [time x depth, batch, ...], diagonal after diagonal."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, memory: Tensor, weight: Tensor, bias: Tensor, depth: int
    ) -> tuple[Tensor, Tensor]:
        time, batch, size = hidden.shape
        diagonals = _diagonals(time, depth)
        num_cells = time * depth
        h, m = hidden.new_zeros(2, num_cells, batch, 2 * size)
        g = hidden.new_empty(num_cells, batch, 8 * size)
        new_h, new_m = hidden.new_empty(2, num_cells, batch, 2 * size)
        for t in range(time):
            h[diagonals[t].first, :, size:] = hidden[t]
            m[diagonals[t].first, :, size:] = memory[t]
        for number, here in enumerate(diagonals):
            cells = slice(here.first, here.end)
            gates = g[cells]
            gates.copy_(_products(h[cells], weight, bias, here))
            gates[..., : 6 * size].sigmoid_()
            gates[..., 6 * size :].tanh_()
            write, keep, read, candidate = gates.split(2 * size, dim=2)
            torch.mul(keep, m[cells], out=new_m[cells]).addcmul_(write, candidate)
            torch.mul(read, new_m[cells], out=new_h[cells]).tanh_()
            if number + 1 < len(diagonals):
                there = diagonals[number + 1]
                onto = slice(there.first, there.end)
                _move(new_h[cells], h[onto], here, there, onwards=True)
                _move(new_m[cells], m[onto], here, there, onwards=True)
        ctx.save_for_backward(h, m, g, new_h, new_m, weight)
        ctx.depth = depth
        tops = [here.end - 1 for here in diagonals[depth - 1 :]]
        return new_h[tops, :, size:], new_m[tops, :, size:]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_hidden: Tensor, grad_memory: Tensor) -> tuple[Tensor | None, ...]:
        h, m, g, new_h, new_m, weight = ctx.saved_tensors
        time, batch, size = grad_hidden.shape
        diagonals = _diagonals(time, ctx.depth)
        d_h, d_m = h.new_empty(2, *h.shape)
        d_gates = torch.empty_like(g)
        d_weight = torch.zeros_like(weight)
        for number in reversed(range(len(diagonals))):
            here = diagonals[number]
            cells = slice(here.first, here.end)
            d_new_h, d_new_m = h.new_zeros(2, here.end - here.first, batch, 2 * size)
            if number + 1 < len(diagonals):
                there = diagonals[number + 1]
                onto = slice(there.first, there.end)
                _move(d_new_h, d_h[onto], here, there, onwards=False)
                _move(d_new_m, d_m[onto], here, there, onwards=False)
            if here.high == ctx.depth:
                d_new_h[-1, :, size:] = grad_hidden[number + 1 - ctx.depth]
                d_new_m[-1, :, size:] = grad_memory[number + 1 - ctx.depth]
            write, keep, read, candidate = g[cells].split(2 * size, dim=2)
            d_write, d_keep, d_read, d_candidate = d_gates[cells].split(2 * size, dim=2)
            d_inner = torch.ops.aten.tanh_backward(d_new_h, new_h[cells])
            d_new_m.addcmul_(d_inner, read)
            torch.mul(d_inner, new_m[cells], out=d_read)
            torch.mul(d_new_m, candidate, out=d_write)
            torch.mul(d_new_m, m[cells], out=d_keep)
            torch.mul(d_new_m, write, out=d_candidate)
            torch.mul(d_new_m, keep, out=d_m[cells])
            sigmoids = slice(0, 6 * size)
            d_gates[cells][..., sigmoids] = torch.ops.aten.sigmoid_backward(
                d_gates[cells][..., sigmoids], g[cells][..., sigmoids]
            )
            d_candidate.copy_(torch.ops.aten.tanh_backward(d_candidate, candidate))
            if len(weight) == 1:
                d_h[cells] = d_gates[cells] @ weight[0]
            else:
                d_h[cells] = d_gates[cells] @ weight[here.low : here.high]
                d_weight[here.low : here.high] += d_gates[cells].mT @ h[cells]
        firsts = [here.first for here in diagonals[:time]]
        if len(weight) == 1:
            d_weight[0] = d_gates.flatten(0, 1).T @ h.flatten(0, 1)
            d_bias = d_gates.sum((0, 1))[None]
        else:
            depths = [d for here in diagonals for d in range(here.low, here.high)]
            d_bias = h.new_zeros(len(weight), 8 * size)
            d_bias.index_add_(0, torch.tensor(depths, device=h.device), d_gates.sum(1))
        return d_h[firsts, :, size:], d_m[firsts, :, size:], d_weight, d_bias, None


def _products(h: Tensor, weight: Tensor, bias: Tensor, here: _Diagonal) -> Tensor:
    if len(weight) == 1:
        return torch.addmm(bias[0], h.flatten(0, 1), weight[0].T).unflatten(0, h.shape[:2])
    cells = slice(here.low, here.high)
    return torch.baddbmm(bias[cells, None], h, weight[cells].mT)
