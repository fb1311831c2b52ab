"""What recurrent layers cost, in one and more dimensions, against the same computed cell by cell or by torch.

python -m benchmarks.recurrent

(a) LSTM and GRU layers against torch's own modules; (b) multi-dimensional LSTMs from all four corners against
a loop over cells; (c) a ReNet layer against a loop over its steps; (d) memory and time of a backward pass
through T steps with what lies between sqrt(T) states computed again; (e) Grid LSTMs of time by depth
against a loop over cells; (f) a PyraMiD-LSTM layer against a loop over voxels. Forward and backward pass;
sides take turns, and medians are compared; CPU time of one thread, as the machine may be busy.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.side_by_side import cpu_seconds_in_turn
from modules.bricks.conv_lstm_cell import ConvLSTMCell
from modules.bricks.grid_lstm_cell import lstm_transform
from modules.bricks.grid_lstm_layer import GridLSTMLayer
from modules.bricks.md_lstm_cell import MDLSTMCell
from modules.bricks.md_lstm_diagonals import turned_axes
from modules.bricks.md_lstm_layer import MDLSTMLayer
from modules.bricks.pyramid_lstm_layer import PyramidLSTMLayer
from modules.bricks.recurrent_layer import CellName, RecurrentLayer
from modules.bricks.renet_layer import ReNetLayer
from modules.configuration.command import arguments, run
from modules.shapes.memory_estimate import LiveBytes
from modules.training.runs.freed_memory import keep_freed_memory

Side = Callable[[], Tensor]
BATCH, SIZE = 16, 128
"""Of the sequences of part (d)."""


@dataclass(frozen=True)
class Arguments:
    """
    Args:
        rounds: times that each side runs, after one that warms up.
    """

    rounds: int = 5


def layers(rounds: int) -> None:
    """Part (a)."""
    _table("layer, batch 32, 100 steps", "yard", "torch.nn", "0.9")
    kinds: dict[CellName, Any] = {"lstm": nn.LSTM, "gru": nn.GRU}
    for (cell, torchs), size in product(kinds.items(), (128, 256)):
        inputs = torch.randn(32, 100, size)
        ours, theirs = RecurrentLayer(cell, size, size), torchs(size, size, batch_first=True)
        _row(f"{cell}, {size} units", lambda ours=ours, inputs=inputs: ours(inputs)[0],
             lambda theirs=theirs, inputs=inputs: theirs(inputs)[0], rounds)  # fmt: skip


def grids(rounds: int) -> None:
    """Part (b)."""
    _table("MDLSTM, four directions of 16 units", "by diagonals", "cell by cell", "40; 80 of 64x64")
    for side, batch in ((28, 2), (28, 32), (64, 1)):
        layer, inputs = MDLSTMLayer(2, 4, 16), torch.randn(batch, side, side, 4)
        _row(f"{side}x{side}, batch {batch}", lambda layer=layer, inputs=inputs: layer(inputs),
             lambda layer=layer, inputs=inputs: _cell_by_cell(layer, inputs), rounds)  # fmt: skip


def renets(rounds: int) -> None:
    """Part (c)."""
    _table("ReNet layer of 32 units, 14x14 places", "yard", "place by place", "4")
    for batch in (2, 32):
        layer, inputs = ReNetLayer(4, 32), torch.randn(batch, 14, 14, 4)
        _row(f"batch {batch}", lambda layer=layer, inputs=inputs: layer(inputs),
             lambda layer=layer, inputs=inputs: _place_by_place(layer, inputs), rounds)  # fmt: skip


def recomputation(rounds: int) -> None:
    """Part (d)."""
    print("\n| steps | memory beside the output, MB | with recomputation | time with / without | aimed at |")
    print("|---:|---:|---:|---:|---:|")
    for steps in (100, 400, 1600):
        inputs = torch.randn(BATCH, steps, SIZE)
        sides = [RecurrentLayer("lstm", SIZE, SIZE, recompute) for recompute in (False, True)]
        kept = [_most_bytes(layer, steps) / 1e6 for layer in sides]
        first, second = (lambda layer=layer, inputs=inputs: layer(inputs)[0] for layer in sides)
        without, again = _medians(first, second, rounds)
        print(f"| {steps} | {kept[0]:.1f} | {kept[1]:.1f} | {again / without:.2f} | 1.4 |", flush=True)


def grid_lstms(rounds: int) -> None:
    """Part (e)."""
    _table("Grid LSTM of time by depth", "by diagonals", "cell by cell", "10")
    sizes = [(20, 5, 64, 32), (20, 5, 64, 16), (50, 18, 32, 16), (50, 18, 16, 16)]
    for (steps, depth, size, batch), tied in product(sizes, (True, False)):
        layer, inputs = GridLSTMLayer(size, depth, tied), torch.randn(steps, batch, size)
        name = f"{steps}x{depth}, {size} units, batch {batch}, {'tied' if tied else 'untied'}"
        _row(name, lambda layer=layer, inputs=inputs: layer(inputs, inputs)[0],
             lambda layer=layer, inputs=inputs: _level_by_level(layer, inputs), rounds)  # fmt: skip


def pyramids(rounds: int) -> None:
    """Part (f)."""
    _table("PyraMiD-LSTM layer of 8 units, 3x3 filters", "by planes", "voxel by voxel", "10")
    for side in (8, 12):
        layer, volumes = PyramidLSTMLayer(1, 8, kernel_size=3), torch.randn(2, 1, side, side, side)
        _row(f"{side}x{side}x{side}, batch 2", lambda layer=layer, volumes=volumes: layer(volumes),
             lambda layer=layer, volumes=volumes: _voxel_by_voxel(layer, volumes), rounds)  # fmt: skip


def _voxel_by_voxel(layer: PyramidLSTMLayer, volumes: Tensor) -> Tensor:
    found = []
    for axis, (onwards, back) in enumerate(zip(layer.onwards, layer.back, strict=True)):
        for cell, backwards in ((onwards, False), (back, True)):
            assert isinstance(cell, ConvLSTMCell)
            weight = torch.cat([cell.weight_input.flatten(1), cell.weight_hidden.flatten(1)], dim=1).T
            planes = list(volumes.unbind(axis + 2))
            hidden = before = volumes.new_zeros(len(volumes), cell.hidden_channels, *planes[0].shape[2:])
            for plane in reversed(planes) if backwards else planes:
                seen, past = (functional.pad(maps, [1] * 4) for maps in (plane, hidden))
                rows, states = [], []
                for row, column in product(range(plane.shape[2]), range(plane.shape[3])):
                    around = [
                        maps[:, :, row : row + 3, column : column + 3].flatten(1) for maps in (seen, past)
                    ]
                    gates = torch.addmm(cell.bias, torch.cat(around, dim=1), weight)
                    write, keep, candidate, read = gates.chunk(4, dim=1)
                    state = keep.sigmoid() * before[:, :, row, column] + write.sigmoid() * candidate.tanh()
                    rows.append(read.sigmoid() * state.tanh())
                    states.append(state)
                hidden, before = (torch.stack(one, dim=-1).view_as(hidden) for one in (rows, states))
                found.append(hidden)
    return torch.stack(found)


def _level_by_level(layer: GridLSTMLayer, inputs: Tensor) -> Tensor:
    along_time = [(torch.zeros_like(inputs[0]),) * 2] * layer.depth
    found = []
    for step in inputs:
        h = m = step
        for level, (h_time, m_time) in enumerate(along_time):
            weights = 0 if layer.tied else level
            gates = torch.addmm(layer.bias[weights], torch.cat([h_time, h], 1), layer.weight[weights].T)
            new_h, new_m = lstm_transform(gates, torch.cat([m_time, m], 1))
            (h_time, h), (m_time, m) = new_h.chunk(2, dim=1), new_m.chunk(2, dim=1)
            along_time[level] = h_time, m_time
        found.append(h)
    return torch.stack(found)


def _cell_by_cell(layer: MDLSTMLayer, inputs: Tensor) -> Tensor:
    batch, *sizes, _ = inputs.shape
    found = []
    for cell, turned in zip(layer.cells, turned_axes(len(sizes), len(layer.cells)), strict=True):
        assert isinstance(cell, MDLSTMCell)
        along = inputs.flip([axis + 1 for axis in turned])
        zero = inputs.new_zeros(batch, layer.hidden_size)
        states = {}
        for row, column in product(*(range(size) for size in sizes)):
            before = [
                states.get((row - 1, column), (zero, zero)),
                states.get((row, column - 1), (zero, zero)),
            ]
            states[row, column] = cell(along[:, row, column], before)
        found.append(torch.stack([hidden for hidden, _ in states.values()]))
    return torch.stack(found)


def _place_by_place(layer: ReNetLayer, grid: Tensor) -> Tensor:
    for both in (layer.columns, layer.rows):
        lines = []
        for line in grid.unbind(2):  # a column, and of the transposed grid a row
            found = []
            for way, steps in ((both.forwards, line.unbind(1)), (both.backwards, line.flip(1).unbind(1))):
                state, outputs = way.initial_state(line), []
                for step in steps:
                    state = way.cell(step, state)
                    outputs.append(state[0])
                found.append(torch.stack(outputs if way is both.forwards else outputs[::-1], dim=1))
            lines.append(torch.cat(found, dim=-1))
        grid = torch.stack(lines, dim=1)
    return grid


def _most_bytes(layer: RecurrentLayer, steps: int) -> int:
    """What forward and backward pass hold at their height beside the states and gradients of all steps."""
    with torch.device("meta"):
        like = RecurrentLayer("lstm", SIZE, SIZE, layer.recompute)
        inputs = torch.empty(BATCH, steps, SIZE)
        with LiveBytes([*like.parameters(), inputs]) as counter:
            outputs, _ = like(inputs)
            outputs.sum().backward()
    return counter.most - 2 * outputs.nbytes


def _table(what: str, ours: str, theirs: str, target: str) -> None:
    print(f"\n| {what} | {ours}, ms | {theirs}, ms | ratio (aimed at {target}) |\n|---|---:|---:|---:|")


def _row(name: str, ours: Side, theirs: Side, rounds: int) -> None:
    fast, slow = _medians(ours, theirs, rounds)
    print(f"| {name} | {1e3 * fast:.1f} | {1e3 * slow:.1f} | {slow / fast:.2f} |", flush=True)


def _medians(first: Side, second: Side, rounds: int) -> tuple[float, float]:
    return cpu_seconds_in_turn(lambda: first().sum().backward(), lambda: second().sum().backward(), rounds)


def main(argv: list[str]) -> None:
    """Measures all parts and prints tables in Markdown."""
    chosen = arguments(argv, Arguments, __doc__ or "")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    keep_freed_memory()
    layers(chosen.rounds)
    grids(chosen.rounds)
    renets(chosen.rounds)
    recomputation(chosen.rounds)
    grid_lstms(chosen.rounds)
    pyramids(chosen.rounds)


if __name__ == "__main__":
    run(main)
