"""Trains what comes before a plan: its phases, each a run of its own in its own folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from modules.configuration.plans.identity import identities
from modules.configuration.plans.run_plan import Plan
from modules.training.runs.run_folder import RunFolder

SHARED_WAIT_S = 24 * 3600.0
"""For another process that trains a run which several need."""
TrainOne = Callable[[Plan, str, RunFolder], Any]
"""Trains a plan of that identity in its folder, which is held, from its checkpoint on if there is one."""


def after_phases(plan: Plan, shards: Path, runs: Path, train_one: TrainOne, wait_s: float = 0.0) -> Plan:
    """The plan with the weights that it begins from; its phases are trained first, as far as they are not.

    Args:
        plan: with `pretrained`, if it names weights to begin from.
        shards: the folder of its dataset.
        runs: the folder in which the phases' folders lie.
        train_one: trains a phase.
        wait_s: how long to wait for another process that trains the same phase.

    Raises:
        UserError: a phase failed, or another process is training it.
    """
    weights: Path | None = None
    for phase, number in zip(plan.before.values(), identities(plan, shards)[:-1], strict=True):
        folder = RunFolder(runs / number[:16])
        with folder.held(wait_s):
            if not folder.finished():
                train_one(phase.begins_from(weights), number, folder)
        weights = folder.weights
    return plan.begins_from(weights)
