"""Optimisation steps: what of a task learns, from which loss, and whose turn it is.

A training takes one optimiser step for each batch. Where a task has several steps, such as those of two
adversaries (Goodfellow et al. 2014, algorithm 1, arXiv 1406.2661), they take turns: each as often in a row as
it says, in the task's order, and then again from the first.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from modules.configuration.errors import ConfigError, UserError
from modules.configuration.names import suggest
from modules.metrics.mean import Mean


@dataclass(frozen=True)
class Step:
    """One optimisation step of a task, with an optimiser of its own.

    Attributes:
        name: such as `generator`; `train` where it is the only one.
        parameters: what it learns.
        loss: of a batch of raw fields.
        repeats: optimiser steps in a row before it is the next one's turn.
    """

    name: str
    parameters: Sequence[nn.Parameter]
    loss: Callable[[dict[str, Tensor]], Mean]
    repeats: int = 1

    @property
    def learned(self) -> list[nn.Parameter]:
        """Its parameters that are not frozen at the moment."""
        return [parameter for parameter in self.parameters if parameter.requires_grad]


def turns(steps: Sequence[Step]) -> tuple[int, ...]:
    """Numbers of the steps whose turn it is, one optimiser step after another, until all begins again.

    Optimiser step n of a training, counted from 0, is `turns[n % len(turns)]`, wherever it goes on from.
    """
    return tuple(number for number, step in enumerate(steps) for _ in range(step.repeats))


def gradients_of(steps: Sequence[Step], step: Step) -> list[nn.Parameter] | None:
    """Where a step's backward pass leaves gradients: in its own parameters; None = wherever it gets to."""
    return step.learned if len(steps) > 1 else None


def optimizer_nodes(steps: Sequence[Step], node: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each step's optimiser: one node for all, or a mapping from the name of each to its own.

    Raises:
        ConfigError: the mapping misses a step, or names one that is not there.
    """
    if "_target_" in node:
        return [dict(node)] * len(steps)
    names = [step.name for step in steps]
    if unknown := [name for name in node if name not in names]:
        hint = suggest(unknown[0], names) or f"Its steps are {', '.join(names)}"
        raise ConfigError(f"optimizer.{unknown[0]}", f"the task has no step {unknown[0]!r}", hint)
    if missing := [name for name in names if name not in node]:
        hint = f"Give each of {', '.join(names)} a node with _target_, or one node to all"
        raise ConfigError("optimizer", f"has no optimizer for the step {missing[0]!r}", hint)
    return [dict(node[name]) for name in names]


def check_one_step(steps: Sequence[Step], sharding: str) -> None:
    """Refuses a task that cannot be trained in shards: each of several steps would gather all weights.

    Raises:
        ConfigError: it takes turns of several steps.
    """
    if len(steps) > 1:
        names = ", ".join(step.name for step in steps)
        raise ConfigError(
            "runtime.sharding",
            f"{sharding}, and the task takes turns of several steps ({names})",
            "Set it to none",
        )


def check_steps(model: nn.Module, steps: Sequence[Step]) -> None:
    """Refuses steps that are no partition of what a model learns.

    Raises:
        UserError: two have one name, one is never taken or learns nothing, a parameter belongs to two of them
            or to none.
    """
    names = [step.name for step in steps]
    if len(set(names)) < len(names):
        raise UserError(f"two steps of the task have one name: {', '.join(names)}", "Name each differently")
    owners: dict[int, str] = {}
    known = {id(parameter): name for name, parameter in model.named_parameters()}
    for step in steps:
        if step.repeats < 1 or not step.parameters:
            what = "learns no parameters" if step.repeats >= 1 else f"has repeats={step.repeats}"
            raise UserError(f"the step {step.name} {what}", "Take it out of the task's steps")
        for parameter in step.parameters:
            other = owners.setdefault(id(parameter), step.name)
            if other != step.name:
                name = known.get(id(parameter), "a parameter")
                raise UserError(
                    f"{name} is learned by two steps, {other} and {step.name}", "Leave it in one of them"
                )
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and id(parameter) not in owners:
            raise UserError(
                f"{name} is learned by no step ({', '.join(names)})",
                "Add it to one, or set its requires_grad to False",
            )
