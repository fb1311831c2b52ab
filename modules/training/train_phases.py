"""Trains what comes before a plan: its phases, each a run of its own in its own folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from modules.configuration.plans.identity import identities
from modules.configuration.schema.phases import Plan, chain
from modules.training.run_folder import RunFolder

TrainOne = Callable[[Plan, str, RunFolder], Any]
"""Trains a plan of that identity in its folder, which is held, from its checkpoint on if there is one."""


def after_phases(plan: Plan, shards: Path, runs: Path, train_one: TrainOne, wait_s: float = 0.0) -> Plan:
    """The plan with the weights that it begins from; its phases are trained first, as far as they are not.

    Args:
        plan: with `origins`, if it names weights to begin from.
        shards: the folder of its dataset.
        runs: the folder in which the phases' folders lie.
        train_one: trains a phase.
        wait_s: how long to wait for another process that trains the same phase.

    Raises:
        UserError: a phase failed, or another process is training it.
    """
    weights: Path | None = None
    for phase, number in zip(chain(plan)[:-1], identities(plan, shards)[:-1], strict=True):
        folder = RunFolder(runs / number[:16])
        with folder.held(wait_s):
            if not folder.finished():
                train_one(beginning_from(phase, weights), number, folder)
        weights = folder.weights
    return beginning_from(plan, weights)


def beginning_from(plan: Plan, weights: Path | None) -> Plan:
    """The plan with the file of weights that it begins from; None leaves its own."""
    if weights is None:
        return plan
    origins = (plan.get("origins") or {}) | {"weights": {"file": str(weights.absolute())}}
    return plan | {"origins": origins}
