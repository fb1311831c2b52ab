"""Starts a training where `runtime.backend` says: in this process, or on workers of a Ray cluster."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from modules.configuration.plans.run_plan import Plan
from modules.training.runs.interruption import Interruption
from modules.training.runs.run_folder import RunFolder
from modules.training.runs.sessions import Began

if TYPE_CHECKING:
    from pytorch_lightning import Callback


def start(
    plan: Plan,
    identity: str,
    folder: RunFolder,
    console: Console,
    callbacks: Sequence["Callback"] = (),
    began_s: float | None = None,
) -> None:
    """Trains a plan in its folder, from its checkpoint on if there is one.

    Args:
        plan: a plan whose shapes have been checked.
        identity: of the run.
        folder: held by this process.
        console: where progress is shown.
        callbacks: Lightning callbacks of one's own.
        began_s: when the command began, in seconds since 1970; by default now.

    Raises:
        UserError: the training failed; the last good checkpoint is kept.
        Interrupted: a signal asked to stop; the state is in the checkpoint.
    """
    shards: Path = plan.shards
    began_s = time.time() if began_s is None else began_s
    if plan.runtime.backend == "ray":
        from modules.training.ray_workers.ray_training import train_on_workers

        train_on_workers(plan, identity, shards, folder, console, callbacks, began_s)
    else:
        # Torch and Lightning take seconds to import, and signals are heard meanwhile.
        with Interruption() as interruption:
            from modules.training.runs.run import train

            interruption.stop()
            began = Began(began_s)
            train(plan, identity, shards, folder, console, callbacks, interruption=interruption, began=began)
