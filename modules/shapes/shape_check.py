"""Checks that all sizes of a recipe agree before anything is spent: one symbolic batch on the meta device."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from modules.configuration.composition.key_locations import KeyLocations
from modules.configuration.errors import UserError
from modules.configuration.plans.training_cost import Cost
from modules.configuration.schema.phases import named_phases, trainings
from modules.configuration.static_analysis.targets import build
from modules.models.parts import parts
from modules.shapes.calls import Node
from modules.shapes.cost import estimate_cost
from modules.shapes.mismatch import ShapeError, explain
from modules.shapes.shape_failure import Failure
from modules.shapes.symbolic import run
from modules.shapes.symbols import (
    BATCH,
    BATCH_SIZES,
    Shape,
    other_sizes,
    per_sample,
    probe_sizes,
    shape_text,
    typical_sizes,
)
from modules.shapes.trace import Trace
from modules.shapes.without_compiler import without_compiler
from modules.tasks.step import check_one_step, optimizer_nodes
from modules.weights.fitting import compare


@dataclass(frozen=True)
class Row:
    """A brick in the order in which it first runs.

    Attributes:
        path: where it stands in the task: "model.features.0".
        brick: its class.
        inputs: shape of each tensor it takes, with the symbol `batch`.
        outputs: shape of each tensor it gives.
        num_parameters: of the brick with all its parts.
        multiply_adds: of one sample, forward.
        num_calls: how often it runs in one forward pass.
    """

    path: str
    brick: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    num_parameters: int
    multiply_adds: int
    num_calls: int = 1


@dataclass(frozen=True)
class Edge:
    """A tensor that goes from one node of the network to another."""

    source: Node
    target: Node
    shape: str


@dataclass(frozen=True)
class ShapeReport:
    """What a symbolic batch showed.

    Attributes:
        name: the recipe's name.
        rows: one for each brick that ran; what lies outside bricks is in a last row of its own.
        edges: the graph of what leads to the loss.
        cost: totals, memory and the cost of a step.
    """

    name: str
    rows: tuple[Row, ...]
    edges: tuple[Edge, ...]
    cost: Cost


@without_compiler()
def check_shapes(config: dict[str, Any], locations: KeyLocations | None = None) -> ShapeReport:
    """Runs one symbolic batch of the data's schema through model, loss and backward.

    Args:
        config: a resolved configuration; `data.fields`, `model`, `task`, `optimizer`, `trainer` are read.
        locations: the files and overrides it was composed of; with them an error names file and line.

    Raises:
        ShapeError: sizes do not agree, or a parameter is never trained.
        UserError: a target may not be built.
    """
    try:
        sizes = probe_sizes(config)
        has_symbols = len(sizes) > 1
        probe = run(config, sizes, shapes_only=has_symbols)
        others = {
            symbol: run(config, other, shapes_only=has_symbols)
            for symbol, other in other_sizes(sizes).items()
        }
        first, second = probe, others[BATCH]
        if has_symbols:
            first, second = (run(config, typical_sizes(config, batch)) for batch in BATCH_SIZES)
        optimizer_nodes(first.steps, config["optimizer"])
        if (sharding := config.get("runtime", {}).get("sharding", "none")) != "none":
            check_one_step(first.steps, sharding)
    except Failure as failure:
        raise explain(config, failure, locations) from failure
    _check_not_empty(probe)
    _check_gradients(first)
    _check_parts(config, probe.task.get_submodule("model"))
    rows = tuple(_rows(_Shapes(probe, others), first, second))
    return ShapeReport(
        name=config.get("name") or "",
        rows=rows,
        edges=tuple(_edges(_Shapes(probe, others))),
        cost=estimate_cost(config, first, second),
    )


def check_phases(config: dict[str, Any], locations: KeyLocations | None = None) -> dict[str, ShapeReport]:
    """Checks every phase of a configuration as a training of its own, and that each fits the one before.

    Raises:
        ShapeError: as `check_shapes`; or nothing of a phase's model would be kept by the next, or what that
            is to initialise again is no weight of it.
        UserError: a target may not be built.
    """
    reports = {}
    for name, phase in named_phases(config).items():
        try:
            reports[name] = check_shapes(phase, locations and replace(locations, phase=name))
        except ShapeError as error:
            raise ShapeError(f"phase {name}: {error.problem}", error.hint) from error
    for before, after in pairwise(trainings(config)):
        _check_succession(before, after)
    return reports


def check_all_shapes(config: dict[str, Any], locations: KeyLocations | None = None) -> None:
    """Checks the shapes of a configuration and of its phases.

    Raises:
        ShapeError: as `check_shapes` and `check_phases`.
    """
    check_phases(config, locations)
    check_shapes(config, locations)


def _check_succession(before: dict[str, Any], after: dict[str, Any]) -> None:
    reinit = after["fine_tuning"]["reinit"]
    if after["fine_tuning"]["adapter"] is not None or (before["model"] == after["model"] and not reinit):
        return  # a translation, which is judged where it happens; or the same names
    with torch.device("meta"):
        found, model = build(before["model"]).state_dict(), build(after["model"])
    try:
        fit = compare(model, found, reinit)
    except UserError as error:
        raise ShapeError(f"{after['name']}: {error.problem}", error.hint) from error
    if not fit.kept:
        raise ShapeError(
            f"{after['name']}: nothing of what {before['name']} trains fits its model",
            "Keep names and sizes, or translate them: fine_tuning.adapter",
        )


@dataclass(frozen=True)
class _Shapes:
    """Shapes of one trace in symbols, told from those with another size of each symbol."""

    probe: Trace
    others: Mapping[str, Trace]

    def texts(self, shapes: Callable[[Trace], list[Shape]]) -> tuple[str, ...]:
        """Each of the shapes that a trace has at one place."""
        again = {symbol: shapes(trace) for symbol, trace in self.others.items()}
        return tuple(
            shape_text(
                shape,
                self.probe.sizes,
                {symbol: found[number] for symbol, found in again.items() if number < len(found)},
            )
            for number, shape in enumerate(shapes(self.probe))
        )


def _rows(shapes: _Shapes, first: Trace, second: Trace) -> Iterable[Row]:
    seen: set[int] = set()

    def count(parameters: Iterable[Any]) -> int:
        new = [parameter for parameter in parameters if id(parameter) not in seen]
        seen.update(map(id, new))
        return sum(parameter.numel() for parameter in new)

    multiply_adds_outside = per_sample(first.multiply_adds, second.multiply_adds)
    for path, call in first.calls.items():
        again = second.calls[path]
        multiply_adds = per_sample(call.multiply_adds, again.multiply_adds)
        multiply_adds_outside -= multiply_adds
        yield Row(
            path,
            call.brick,
            shapes.texts(lambda trace, path=path: trace.calls[path].inputs),
            shapes.texts(lambda trace, path=path: trace.calls[path].outputs),
            count(call.module.parameters()),
            multiply_adds,
            call.num_calls,
        )
    num_parameters = count(first.task.parameters())
    if num_parameters or multiply_adds_outside:
        yield Row("(outside bricks)", "", (), (), num_parameters, multiply_adds_outside)


def _edges(shapes: _Shapes) -> Iterable[Edge]:
    """The edges on a way to the loss, in the order in which they were found."""
    first = shapes.probe
    leading = set(first.sinks)
    for source, target in reversed(first.edges):
        if target in leading:
            leading.add(source)
    # A brick that runs again feeds earlier ones: once more until nothing is added.
    for _ in first.edges:
        more = {source for source, target in first.edges if target in leading} - leading
        if not more:
            break
        leading |= more
    for edge in first.edges:
        if edge[1] in leading and edge[0] != edge[1]:
            for shape in shapes.texts(lambda trace, edge=edge: trace.edges[edge]):
                yield Edge(*edge, shape)


def _check_parts(config: dict[str, Any], model: nn.Module) -> None:
    frozen, names = config["fine_tuning"]["frozen_parts"], [type(part).__name__ for part in parts(model)]
    if frozen and frozen >= len(names):
        raise ShapeError(
            f"fine_tuning.frozen_parts={frozen}, and {type(model).__name__} has {len(names)} parts"
            f" ({', '.join(names)}): none would learn",
            f"Set it to {len(names) - 1} or less",
        )
    if frozen and not any(
        weight.requires_grad for part in parts(model)[frozen:] for weight in part.parameters()
    ):
        raise ShapeError(
            f"fine_tuning.frozen_parts={frozen}: no part of {type(model).__name__} above them would learn",
            "Freeze fewer",
        )


def _check_not_empty(trace: Trace) -> None:
    for path, parameter in trace.task.named_parameters():
        if parameter.numel() == 0:
            owner, _, name = path.rpartition(".")
            brick = type(trace.task.get_submodule(owner)).__name__
            size = shape_text(tuple(parameter.shape), {})
            raise ShapeError(
                f"{owner} ({brick}): its parameter {name!r} of {size} holds nothing",
                "Give it a size of 1 or more",
            )


def _check_gradients(trace: Trace) -> None:
    of_step = {id(one): f" of its step {step.name}" for step in trace.steps for one in step.parameters}
    for path, parameter in trace.task.named_parameters():
        if parameter.requires_grad and parameter.grad is None:
            owner, _, name = path.rpartition(".")
            brick = type(trace.task.get_submodule(owner)).__name__
            size = shape_text(tuple(parameter.shape), {})
            raise ShapeError(
                f"{owner} ({brick}): its parameter {name!r} of {size} gets no gradient from the loss"
                + (of_step.get(id(parameter), "") if len(trace.steps) > 1 else ""),
                "Use it in forward, take it away, or set requires_grad to False",
            )
