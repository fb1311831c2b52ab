"""The controller of a sweep: from its ledger, through a cluster's workers, to its best trial.

Everything that happens goes to the ledger first and is acted on then. So a driver that was killed at any
moment is started again with the same command, and finishes what is missing.
"""

import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console

from modules.report.sweep_page import write_sweep_page
from modules.sweeps.control.control_loop import ControlLoop
from modules.sweeps.control.ledger import Ledger
from modules.sweeps.control.live_table import LiveTable
from modules.sweeps.control.sweep_setup import Sweep
from modules.sweeps.control.trial_history import Trials
from modules.tracking.sweep_tracker import SweepTracker
from modules.training.runs.interruption import Interrupted, Interruption

TRAINING = "modules.sweeps.workers.train_trials.train_trials"


@dataclass(frozen=True)
class SweepResult:
    """How a sweep ended.

    Attributes:
        counts: how many trials ended with each status.
        best: number of the best trial; None if none was trained to its end.
        seconds: that this session took.
    """

    counts: dict[str, int]
    best: int | None
    seconds: float


def run_sweep(sweep: Sweep, console: Console, trial: str = TRAINING) -> SweepResult:
    """Runs a sweep to its end, from its ledger on if there is one.

    Args:
        sweep: from `set_up`.
        console: where its progress is shown.
        trial: dotted name of a function of (assignments, report) that the workers call.

    Raises:
        UserError: the sweep cannot run: another process runs it, or no node has what a trial needs.
        SystemExit: SIGTERM or SIGINT asked to stop; all states are kept.
    """
    began_s = time.perf_counter()
    with Ledger(sweep.folder / "ledger.jsonl") as ledger:
        trials = Trials(sweep, ledger)
        tags = {"sweep": sweep.folder.name, "overrides": " ".join(sweep.overrides)}
        about = {"name": f"{sweep.base.name} sweep", "identity": sweep.identity, "tags": tags}
        tracker = SweepTracker(sweep.folder / "tracking", sweep.base.configuration["tracking"], about)
        tracker.parameters(_parameters(sweep))
        status, reason = "FAILED", "the driver failed"
        try:
            with LiveTable(trials, console) as table, Interruption() as interruption:
                ControlLoop(trials, tracker, table, interruption, trial).run()
            status, reason = "FINISHED", ""
        except Interrupted as interrupted:
            status, reason = "KILLED", str(interrupted)
            counts = trials.counts()
            left = counts["WAITING"] + counts["RUNNING"]
            print(
                f"interrupted by {interrupted}: {len(trials) - left} trials have ended, {left} go on from"
                f" their checkpoints; the same command goes on with {sweep.folder}",
                file=sys.stderr,
            )
            sys.exit(interrupted.exit_status)
        finally:
            for name, hours in zip(("cpu_hours", "gpu_hours"), trials.hours, strict=True):
                tracker.metric(f"worth/{name}", hours, trials.num_ended)
            try:
                write_sweep_page(sweep.folder)  # of one that was interrupted as well
            finally:
                for name in ("index.html", "best.yaml", "ledger.jsonl"):
                    if (sweep.folder / name).is_file():
                        tracker.artifact(sweep.folder / name)
                tracker.finish(status, reason, wait_s=5.0 if status == "KILLED" else None)

        best = None if trials.best is None else trials.best.number
        return SweepResult(dict(trials.counts()), best, time.perf_counter() - began_s)


def _parameters(sweep: Sweep) -> dict[str, Any]:
    """What sets a sweep apart from others, for its run at the tracker."""
    given = _by_key(sweep.overrides)
    space = {axis.key: given.get(axis.key, "") for axis in sweep.space.axes}
    fixed = _by_key(sweep.space.fixed)
    return {
        "name": sweep.base.name,
        "space": space or {"points": len(sweep.space.points or ())},
        "overrides": {key: value for key, value in fixed.items() if not key.startswith("sweep")},
        "sweep": asdict(sweep.settings) | {"metric": sweep.metric, "mode": sweep.mode},
    }


def _by_key(overrides: Iterable[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in overrides]
    return {key: value for key, _, value in pairs}
