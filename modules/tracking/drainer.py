"""The drainer: a process of its own that brings a run's spool to MLflow.

    python -m modules.tracking.drainer FOLDER

It may be killed at any moment and started again. It ends once the training process has ended and all is
sent, or when the tracker stays away for longer than `drain_timeout_s` after that; the rest then waits in the
spool.
"""

import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

import psutil
from filelock import Timeout

from modules.tracking.family import Family
from modules.tracking.store import limit_patience
from modules.tracking.system_metrics import SystemMonitor
from modules.tracking.tracking_folder import drainer_lock, is_held, read_run, writer_lock

IDLE_S = 0.2
FAMILY_IDLE_S = 1.0  # many spools that grow are read in larger bites
RETRY_S = (0.5, 5.0)  # first and longest pause after a failure


def drain(folder: Path, patience_s: float) -> str:
    """Sends a folder's spool until its training process has ended and all is sent. Hold the drainer's lock.

    Args:
        folder: a tracking folder.
        patience_s: seconds to wait for a tracker that is away, counted from the training process's end.

    Returns:
        Why something is left; empty if nothing is.
    """
    limit_patience()
    family = Family(folder)
    monitor: SystemMonitor | None = None
    pause_s = RETRY_S[0]
    give_up_s: float | None = None
    while True:
        run = read_run(folder)
        if run is None or run["settings"]["uri"] is None:
            family.end_removed()
            return ""
        alive = is_held(writer_lock(folder))
        if alive and monitor is None:
            monitor = _watch(folder, run)
        elif monitor is not None and not alive:
            monitor.stop()
            monitor = None
        sent = family.send()
        if family.error and not sent:
            if not family.is_over:
                give_up_s = None
            else:
                give_up_s = give_up_s or time.monotonic() + patience_s
                if time.monotonic() >= give_up_s:
                    return family.error
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, RETRY_S[1])
            continue
        pause_s, give_up_s = RETRY_S[0], None
        if not sent and family.is_over:
            return ""
        if family.num_children and not family.is_over:
            time.sleep(FAMILY_IDLE_S)
        elif not sent:
            time.sleep(IDLE_S)


def _watch(folder: Path, run: dict[str, Any]) -> SystemMonitor | None:
    """Starts to sample the training process, if there is one to sample."""
    every_s = run["settings"]["system_metrics_every_s"]
    if run["pid"] is None or not every_s:
        return None
    try:
        monitor = SystemMonitor(folder, run["pid"], every_s)
    except psutil.NoSuchProcess:
        return None
    monitor.start()
    return monitor


def main() -> None:
    """The drainer process."""
    os.nice(10)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.WARNING)
    folder = Path(sys.argv[1])
    try:
        # The drainer before this one may be about to end; if it is not, it will do this one's work.
        with drainer_lock(folder).acquire(timeout=10):
            run = read_run(folder)
            if run is not None:
                drain(folder, patience_s=run["settings"]["drain_timeout_s"])
    except Timeout:
        pass


if __name__ == "__main__":
    main()
