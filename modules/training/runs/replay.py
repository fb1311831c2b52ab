"""After an edit of code that carries trainings: does it still give the weights of the runs that are there?

A run keeps a digest of its weights after its first block of steps. Where the code around it has changed
since, these steps are computed again, in a folder of their own and untracked: equal bits keep the run.
Imports no torch at its top: a run that needs no replay is told at once.
"""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from modules.configuration.errors import UserError
from modules.configuration.plans.run_plan import Plan
from modules.training.runs.interruption import Interrupted
from modules.training.runs.run_folder import FIRST_STEPS, RESULTS, WEIGHTS_LAST, RunFolder
from modules.training.runs.sessions import SESSIONS
from modules.training.runs.start import start

_SET_ASIDE = (
    *RESULTS,
    WEIGHTS_LAST,
    FIRST_STEPS,
    "outcome.json",
    SESSIONS,
    "plan.yaml",
    "checkpoints",
    "tracking",
    "profile",
)


@dataclass(frozen=True)
class Verdict:
    """Whether a run stays, and what is to be said of it.

    Attributes:
        stays: its weights are what the code gives, or are taken for it.
        note: one line.
    """

    stays: bool
    note: str


def is_current(folder: RunFolder, carrying_code: str) -> bool:
    """Whether what a run's folder holds was trained, or found equal, under today's code."""
    first = folder.read(FIRST_STEPS)
    return first is not None and first.get("carrying_code") == carrying_code


def examine(plan: Plan, identity: str, folder: RunFolder, carrying_code: str) -> Verdict:
    """Decides on a run whose carrying code has changed, as `runtime.replay` says.

    Args:
        plan: of the run, with the weights that it begins from.
        identity: of the run.
        folder: held by this process.
        carrying_code: today's.

    Raises:
        UserError: its first steps cannot be computed again here.
        Interrupted: a signal asked to stop.
    """
    first = folder.read(FIRST_STEPS)
    match plan.runtime.replay:
        case "retrain":
            return Verdict(False, f"the code around it has changed: {folder.path} is trained again")
        case "skip":
            _take_over(folder, first or {}, carrying_code)
            return Verdict(True, f"the code around it has changed: {folder.path} is kept unseen")
    if first is None:
        raise _impossible(folder, "it kept no first steps")
    weights = _replayed(plan, identity, folder, first)
    steps = f"the code around it has changed, and its first {first['num_steps']} steps give"
    if weights != first["weights"]:
        return Verdict(False, f"{steps} other weights: {folder.path} is trained again")
    _take_over(folder, first, carrying_code)
    return Verdict(True, f"{steps} the same weights: {folder.path} is kept")


def set_aside(folder: RunFolder) -> Path:
    """Moves what a run left into a folder beside it, for it to be trained again; returns that folder."""
    number = 1
    while (aside := folder.path / f"replaced-{number}").exists():
        number += 1
    aside.mkdir()
    for name in _SET_ASIDE:
        if (folder.path / name).exists():
            shutil.move(folder.path / name, aside / name)
    return aside


def _take_over(folder: RunFolder, first: dict[str, Any], carrying_code: str) -> None:
    folder.write(FIRST_STEPS, {**first, "carrying_code": carrying_code})


def _replayed(plan: Plan, identity: str, folder: RunFolder, first: dict[str, Any]) -> str:
    """The digest of the weights after the first steps, computed again as the run computed them."""
    runtime = plan.runtime
    if "stack_size" in first:
        raise _impossible(folder, f"it was trained in a stack of {first['stack_size']} trials")
    if not runtime.fewest_workers <= first["num_workers"] <= runtime.num_workers:
        why = f"{first['num_workers']} workers trained it, not {runtime.num_workers}"
        raise _impossible(folder, why, f"Add runtime=ray runtime.num_workers={first['num_workers']}, or")
    sharding = first.get("sharding", "none")
    if sharding != runtime.sharding:
        why = f"it was trained with runtime.sharding={sharding}"
        raise _impossible(folder, why, f"Add runtime.sharding={sharding}, or")
    _check_machine(folder, first)
    sections = {
        "runtime": {**plan.configuration["runtime"], "num_threads": first["num_threads"]},
        "tracking": {**plan.configuration["tracking"], "uri": None},
    }
    with tempfile.TemporaryDirectory(prefix=".replay-", dir=folder.path) as scratch:
        repeated = RunFolder(Path(scratch))
        stopped = _until_first_steps(plan.changed(**sections), identity, repeated)
        found = repeated.read(FIRST_STEPS)
    if found is None:
        if stopped is not None:
            raise stopped
        raise _impossible(folder, "the training ended before its first steps")
    same_machine = all(found[key] == first[key] for key in ("num_steps", "cpu", "gpu"))
    if not same_machine:
        raise _impossible(folder, "its first steps came out otherwise: another machine or block size")
    return found["weights"]


def _until_first_steps(plan: Plan, identity: str, folder: RunFolder) -> Interrupted | None:
    from modules.training.runs.first_steps import StopAfterFirstSteps

    try:
        start(plan, identity, folder, Console(quiet=True), [StopAfterFirstSteps()])
    except Interrupted as interrupted:
        return interrupted
    return None


def _check_machine(folder: RunFolder, first: dict[str, Any]) -> None:
    import torch

    from modules.training.runs.environment import environment

    here = environment()
    if first["gpu"] and first["gpu"] != here.get("gpu"):
        found = "none" if not torch.cuda.is_available() else here.get("gpu")
        raise _impossible(folder, f"it was trained on {first['gpu']}, and the GPU here is {found}")
    if first["cpu"] != here["cpu"]:
        raise _impossible(folder, f"it was trained on {first['cpu']}, and this is {here['cpu']}")


def _impossible(folder: RunFolder, why: str, otherwise: str = "") -> UserError:
    hint = "runtime.replay=skip keeps it as it is, runtime.replay=retrain trains it again"
    return UserError(
        f"the code around {folder.path} has changed, and it cannot be replayed: {why}",
        f"{otherwise} {hint}".strip(),
    )
