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

Configuration = dict[str, Any]

SETTABLE = ("model", "task", "optimizer", "schedule", "trainer", "fine_tuning", "seed")
_NEUTRAL: Configuration = {"fine_tuning": asdict(FineTuningSettings()), "teacher": []}
"""Of sections that are the last training's alone."""


def trainings(configuration: Configuration) -> list[Configuration]:
    """All that a configuration trains, in that order: its phases, then itself.

    A phase is a configuration of the same kind, named `<recipe>.<phase>`, with no phases of its own.
    """
    phases = configuration.get("phases") or {}
    return [*(_phase(configuration, name, changes) for name, changes in phases.items()), configuration]


def named_phases(configuration: Configuration) -> dict[str, Configuration]:
    """The configuration of each phase by its name, in order."""
    return dict(zip(configuration.get("phases") or {}, trainings(configuration)[:-1], strict=True))


def _phase(whole: Configuration, name: str, changes: Configuration) -> Configuration:
    own = whole | _NEUTRAL | {"phases": {}, "name": f"{whole['name']}.{name}"}
    return own | {key: _merged(own.get(key), value) for key, value in changes.items()}


def _merged(base: Any, changes: Any) -> Any:
    if not isinstance(base, dict) or not isinstance(changes, dict):
        return changes
    if "_target_" in changes and changes["_target_"] != base.get("_target_"):
        return changes
    return base | {key: _merged(base.get(key), value) for key, value in changes.items()}
