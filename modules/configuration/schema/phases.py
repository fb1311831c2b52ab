"""Phases: trainings that come one before the other, each beginning from the weights of the last.

A recipe's `phases` names what is trained before it and what that sets otherwise:

    phases:
      layer1: {task: {_target_: ..., layer: 0}, trainer: {max_epochs: 10}}
      layer2: {task: {_target_: ..., layer: 1}, trainer: {max_epochs: 10}}

Each phase is a run of its own, with an identity, a folder and a checkpoint; the recipe itself is the last.
A section that names another `_target_` takes the recipe's place, any other is merged into it. What a recipe
says of fine-tuning and teachers is not a phase's, unless the phase says so itself.
"""

from dataclasses import asdict
from typing import Any

from modules.configuration.schema.settings import FineTuningSettings

Plan = dict[str, Any]

SETTABLE = ("model", "task", "optimizer", "schedule", "trainer", "fine_tuning", "seed")
_NEUTRAL: Plan = {"fine_tuning": asdict(FineTuningSettings()), "teacher": []}
"""Of sections that are the last training's alone."""
_FACTS = ("code", "cost")
"""What a plan says of a phase, rather than what the phase sets."""


def chain(plan: Plan) -> list[Plan]:
    """All that a plan or configuration trains, in that order: its phases, then itself.

    A phase is a plan of the same kind, named `<recipe>.<phase>`, with no phases of its own.
    """
    phases = plan.get("phases") or {}
    return [*(_phase(plan, name, changes) for name, changes in phases.items()), plan]


def named_phases(plan: Plan) -> dict[str, Plan]:
    """The plan of each phase by its name, in order."""
    return dict(zip(plan.get("phases") or {}, chain(plan)[:-1], strict=True))


def with_phases(plan: Plan, facts: dict[str, Plan]) -> Plan:
    """The plan with more keys of its phases, such as their `code` and `cost`."""
    phases = {name: changes | facts[name] for name, changes in (plan.get("phases") or {}).items()}
    return plan | {"phases": phases}


def _phase(plan: Plan, name: str, changes: Plan) -> Plan:
    own = plan | _NEUTRAL | {"phases": {}, "name": f"{plan['name']}.{name}"}
    return own | {
        key: value if key in _FACTS else _merged(own.get(key), value) for key, value in changes.items()
    }


def _merged(base: Any, changes: Any) -> Any:
    if not isinstance(base, dict) or not isinstance(changes, dict):
        return changes
    if "_target_" in changes and changes["_target_"] != base.get("_target_"):
        return changes
    return base | {key: _merged(base.get(key), value) for key, value in changes.items()}
