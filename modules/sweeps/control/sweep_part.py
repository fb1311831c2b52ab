"""A part of a sweep, without Ray: every so many-th trial, one after another in this process.

Parts know nothing of each other but the runs' folders: a run that another part trains, as a trial or as what
several trials begin from, is waited for. The sweep itself, run afterwards, finds the runs and takes them for
its trials; what failed it tries once more.
"""

import sys
from pathlib import Path

from rich.console import Console

from modules.configuration.errors import UserError
from modules.configuration.plans.identity import identities
from modules.configuration.plans.run_plan import Plan
from modules.sweeps.control.sweep_setup import Sweep
from modules.sweeps.search.search_algorithms import make_search
from modules.sweeps.search.search_space import overrides_of
from modules.sweeps.workers.process_state import ProcessState
from modules.training.runs.interruption import Interrupted
from modules.training.runs.run_folder import RunFolder
from modules.training.runs.start import start
from modules.training.runs.train_phases import SHARED_WAIT_S, after_phases


def train_part(sweep: Sweep, number: int, num_parts: int, console: Console) -> None:
    """Trains the trials of a part, as far as they are not trained.

    Args:
        sweep: whose points are known beforehand and trained to their end.
        number: of the part, from 1.
        num_parts: how many there are.
        console: where progress is shown.

    Raises:
        UserError: trials failed; the others were trained all the same.
        SystemExit: SIGTERM or SIGINT asked to stop; what was learned is in the checkpoint.
    """
    name, storage = sweep.base.name, Path(sweep.runtime.storage).absolute()
    search = make_search(sweep.space, sweep.settings, sweep.mode)
    failed: dict[int, str] = {}
    num_trials = 0
    state = ProcessState()
    for trial, point in enumerate(iter(search.ask, None)):
        if trial % num_parts != number - 1:
            continue
        try:
            plan = sweep.plan_of(point)
        except UserError:
            continue  # impossible, and sweep.impossible=skip
        num_trials += 1
        print(f"{name}: trial {trial} {' '.join(overrides_of(point))}", flush=True)
        try:
            _train(plan, storage, console)
        except Interrupted as interrupted:
            told = f"interrupted by {interrupted}: the same command goes on with trial {trial}"
            print(told, file=sys.stderr)
            sys.exit(interrupted.exit_status)
        except Exception as error:
            kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
            failed[trial] = kind + " ".join(str(error).split())
            print(f"trial {trial} failed: {failed[trial]}", file=sys.stderr)
        state.restore()
    if failed:
        trial, reason = next(iter(failed.items()))
        told = f"{len(failed)} of {num_trials} trials of part {number} failed: trial {trial}: {reason}"
        raise UserError(told, "The sweep itself, without sweep.part, tries them once more")
    print(f"{name}: all {num_trials} trials of part {number} of {num_parts} are trained")


def _train(plan: Plan, storage: Path, console: Console) -> None:
    shards, runs = storage / "data" / "shards" / plan.dataset, storage / "runs"

    def train_one(run: Plan, identity: str, folder: RunFolder) -> None:
        start(run, identity, folder, console)

    identity = identities(plan, shards)[-1]
    folder = RunFolder(runs / identity[:16])
    with folder.held(SHARED_WAIT_S):
        if not folder.finished():
            train_one(after_phases(plan, shards, runs, train_one, SHARED_WAIT_S), identity, folder)
