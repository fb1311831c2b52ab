"""Which trials can train as one program: those whose plans differ in numbers alone.

A number is a float, or an integer where another trial has a float or in the optimizer and the schedule; any
other difference is one of structure. What the plans leave open is tried: see `probe`.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from modules.configuration.plans.run_plan import Plan, parse_plan
from modules.configuration.schema.trainer_settings import TrainerSettings
from modules.sweeps.workers.stacking.probe import why_alone

Path = tuple[str | int, ...]

_SECTIONS = ("data", "model", "task", "optimizer", "schedule", "trainer", "runtime")
_NUMBER = "a number"
_BYTES_PER_PARAMETER = 16  # weight, gradient, and two moments
_CACHE_BYTES = 16 * 2**20
_MOST_MEMBERS = 32
_tried: dict[str, dict[frozenset[Path], str]] = {}
"""Why plans of a structure that differ at some places cannot be stacked; empty if they can."""


def stack_groups(plans: Sequence[Plan]) -> list[list[int]]:
    """Puts plans together that can train as one program.

    Args:
        plans: of the trials, in any order.

    Returns:
        Each plan's place in `plans`, in one group each. A plan that goes with no other is a group by itself,
        and so is one for which stacking is slower.
    """
    leaves = [_leaves_of(plan) for plan in plans]
    floats = {path for own in leaves for path, value in own.items() if type(value) is float}
    by_structure: dict[str, list[int]] = {}
    groups = [[index] for index, plan in enumerate(plans) if not _is_fresh(plan)]
    for index, own in enumerate(leaves):
        if not _is_fresh(plans[index]):
            continue
        structure = [
            (path, _NUMBER if _is_number(path, value, floats) else value) for path, value in own.items()
        ]
        by_structure.setdefault(json.dumps(structure), []).append(index)
    for structure, group in by_structure.items():
        if len(group) > 1 and _should_be_stacked(structure, [plans[index] for index in group]):
            groups.append(group)
        else:
            groups += [[index] for index in group]
    return sorted(groups)


def _should_be_stacked(structure: str, plans: Sequence[Plan]) -> bool:
    if stack_size(plans[0]) == 1:
        return False
    first, other = _two_apart(plans)
    own, others = _leaves_of(first), _leaves_of(other)
    differing = frozenset(path for path, value in own.items() if others[path] != value)
    tried = _tried.setdefault(structure, {})
    if differing not in tried:
        # Numbers that may differ together may differ each by itself.
        wider = any(differing < paths and not why for paths, why in tried.items())
        tried[differing] = "" if wider else why_alone(first, other)
    return not tried[differing]


def stack_size(plan: Plan) -> int:
    """How many members of a plan's size one process should train at a time; 1 = better one after another.

    What is won is the time that a small network spends outside arithmetic. What is lost is the cache: a lone
    network stays in it from step to step, of a stack all members pass through it at each.
    """
    watched = plan.callbacks or plan.profiler is not None
    if not _is_fresh(plan) or watched or _is_special(plan.trainer):
        return 1
    num_bytes = max(1, plan.cost.num_parameters) * _BYTES_PER_PARAMETER
    return min(_MOST_MEMBERS, _CACHE_BYTES // num_bytes) or 1


def _is_fresh(plan: Plan) -> bool:
    """Whether all of a model learns alike, from a random start and without teachers."""
    begins = plan.phases or plan.init_from or plan.teacher
    return not begins and plan.fine_tuning.frozen_parts == 0 and plan.fine_tuning.lr_decay == 1.0


def _is_special(trainer: TrainerSettings) -> bool:
    """Whether a training looks at gradients, takes other samples or steps than all once an epoch, keeps more
    than its last weights, or computes a step otherwise."""
    limits = (
        trainer.samples_per_class,
        trainer.max_steps,
        trainer.max_validation_batches,
        trainer.overfit_batches,
    )
    chosen = trainer.without_classes or any(limit is not None for limit in limits)
    keeps = trainer.monitors or trainer.keep.every_epochs is not None or trainer.ema_decay is not None
    otherwise = trainer.compile or trainer.activation_checkpointing or trainer.micro_batches != 1
    looks = trainer.min_steps_per_epoch > 1 or trainer.log_gradient_norms
    return bool(chosen or keeps or otherwise or looks)


def _leaves_of(plan: Plan) -> dict[Path, Any]:
    return dict(_leaves({key: plan.configuration[key] for key in _SECTIONS}))


def _leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, dict | list) and value:
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(item, (*path, key))
    else:
        yield path, value


def _is_number(path: Path, value: Any, floats: set[Path]) -> bool:
    if type(value) not in (int, float) or path[0] in ("data", "trainer", "runtime"):
        return False
    return path in floats or path[0] in ("optimizer", "schedule")


def _two_apart(plans: Sequence[Plan]) -> tuple[Plan, Plan]:
    """The first plan, and a copy in which every number that differs anywhere is another one."""
    first = plans[0]
    other = json.loads(json.dumps({**first.to_plain(), "seed": (first.seed + 1) % 2**32}))
    own = _leaves_of(first)
    for plan in plans[1:]:
        for path, value in _leaves_of(plan).items():
            if value != own[path]:
                place = other
                for key in path[:-1]:
                    place = place[key]
                place[path[-1]] = value
    return first, parse_plan(other)
