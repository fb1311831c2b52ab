"""What `pipelines.train` does for a plan: its phases and itself, each trained, gone on with, or kept as it
is.

A run is kept where today's code gives its weights: the code that decides them is part of its identity, and of
the code that carries trainings `modules.training.runs.replay` makes sure.
"""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from modules.configuration.errors import UserError
from modules.configuration.plans.code_rings import carrying_code
from modules.configuration.plans.run_plan import Plan
from modules.configuration.regular_file import read_regular_text
from modules.tracking.sending_again import bring_to
from modules.training.runs.replay import examine, is_current, set_aside
from modules.training.runs.run_folder import FIRST_STEPS, RunFolder
from modules.training.runs.train_phases import TrainOne

_COUNTED = {"threads": "num_threads", "workers": "num_workers", "networks in its stack": "stack_size"}


def train_runs(
    plan: Plan, identities: Sequence[str], folders: Sequence[RunFolder], train_one: TrainOne
) -> None:
    """Trains what of a plan is not trained yet.

    Args:
        plan: with the files that it begins from.
        identities: of its runs, in their order.
        folders: of its runs; the last is held by this process.
        train_one: trains one of them.

    Raises:
        UserError: a run failed, another process is training it, or it cannot be replayed.
    """
    *earlier, last = folders
    code = carrying_code()
    if last.finished() and is_current(last, code):
        print(f"{plan.name}: already trained, nothing to do{_circumstances(last)}")
        for run, folder in zip(plan.all_runs, folders, strict=True):
            bring_to(folder.tracking, run.configuration["tracking"], run.name)
        return
    if last.finished() and plan.runtime.replay == "skip":  # what it began from is not asked for
        _bring_up_to_date(plan, identities[-1], last, code, train_one)
        return
    if last.finished() and not all(folder.finished() for folder in earlier):
        gone = next(folder.path for folder in earlier if not folder.finished())
        if plan.runtime.replay == "check":
            raise UserError(
                f"the code around {last.path} has changed, and it cannot be replayed: {gone}, which it began"
                " from, is gone",
                "runtime.replay=skip keeps it as it is, runtime.replay=retrain trains both again",
            )
    weights: Path | None = None
    for run, identity, folder in zip(plan.all_runs, identities, folders, strict=True):
        with ExitStack() as held:
            if folder is not last:
                held.enter_context(folder.held())
            _bring_up_to_date(run.begins_from(weights), identity, folder, code, train_one)
        weights = folder.weights


def _circumstances(folder: RunFolder) -> str:
    """What a run's last bits hinge on beside its identity."""
    summary = folder.read("summary.json") or {}
    counts = {what: summary.get(key, 1) for what, key in _COUNTED.items()}
    told = [f"{what} {count}" for what, count in counts.items() if what == "threads" or count != 1]
    return f" ({', '.join(told)})"


def _bring_up_to_date(plan: Plan, identity: str, folder: RunFolder, code: str, train_one: TrainOne) -> None:
    begun = folder.finished() or folder.checkpoint.exists()
    if begun and not is_current(folder, code):
        verdict = examine(plan, identity, folder, code)
        print(f"{plan.name}: {verdict.note}", flush=True)
        if not verdict.stays:
            set_aside(folder)
    if not folder.finished():
        if not begun:
            _tell_of_earlier_versions(plan, folder)
        train_one(plan, identity, folder)


def _tell_of_earlier_versions(plan: Plan, folder: RunFolder) -> None:
    """Says that a run of the same recipe is there that this version cannot take for its own."""
    for summary in sorted(folder.path.parent.glob("*/summary.json")):
        if (summary.parent / FIRST_STEPS).exists():
            continue
        try:
            told = json.loads(read_regular_text(summary))
        except (OSError, ValueError, UserError):
            continue
        if isinstance(told, dict) and told.get("recipe") == plan.name and "stack_size" not in told:
            print(
                f"{plan.name}: {summary.parent} was trained by an earlier version, whose identity is another:"
                " it stays as it is, and can be begun from (init_from)",
                flush=True,
            )
            return
