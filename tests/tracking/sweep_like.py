"""A process that records as a sweep's driver does, with workers that record its trials.

Arguments: SWEEP RUNS SETTINGS NUM_TRIALS NUM_EPOCHS PAUSE_S. Killed and started again, it finishes what is
missing: a trial that has a file `done` is left alone, another goes on at the epoch in its file `epoch`. All
but the first two trials end only once RUNS holds a file `release`.
"""

import ast
import subprocess
import sys
import time
from pathlib import Path

from modules.tracking.sweep_tracker import SweepTracker
from modules.tracking.tracker import Tracker


def train(run: Path, settings: str, num_epochs: int, pause_s: float) -> None:
    """One trial, resumed from its last epoch."""
    description = {"name": run.name, "identity": run.name, "tags": {"recipe": "like"}}
    tracker = Tracker(run / "tracking", ast.literal_eval(settings), description, deliver=False)
    tracker.parameters({"trial": run.name})
    checkpoint = run / "epoch"
    first = int(checkpoint.read_text()) if checkpoint.is_file() else 0
    for epoch in range(first, num_epochs):
        tracker.metrics({"loss": 1 / (epoch + 1), "accuracy": 1 - 1 / (epoch + 1)}, epoch)
        tracker.flush()
        checkpoint.with_suffix(".new").write_text(str(epoch + 1))
        checkpoint.with_suffix(".new").replace(checkpoint)
        time.sleep(pause_s)
    while run.name not in ("trial0", "trial1") and not (run.parent / "release").exists():
        time.sleep(0.02)
    tracker.artifact(checkpoint)
    tracker.finish()
    (run / "done").touch()


def drive(sweep: Path, runs: Path, settings: str, num_trials: int, num_epochs: int, pause_s: float) -> None:
    """All trials, two at a time; one whose worker dies is tried again."""
    description = {"name": "sweep", "identity": "sweep", "tags": {}}
    tracker = SweepTracker(sweep / "tracking", ast.literal_eval(settings), description)
    waiting = [runs / f"trial{number}" for number in range(num_trials)]
    workers: dict[Path, subprocess.Popen[bytes]] = {}
    while waiting or workers:
        while waiting and len(workers) < 2:
            run = waiting.pop(0)
            tracker.follow(run / "tracking")
            if not (run / "done").exists():
                command = [
                    sys.executable,
                    __file__,
                    "train",
                    str(run),
                    settings,
                    str(num_epochs),
                    str(pause_s),
                ]
                workers[run] = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        for run, worker in list(workers.items()):
            if worker.poll() is not None:
                del workers[run]
                if not (run / "done").exists():
                    waiting.append(run)
        tracker.metric("ended", len(list(runs.glob("*/done"))), len(list(runs.glob("*/done"))))
        time.sleep(0.02)
    print("delivered", tracker.finish(), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "train":
        train(Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]), float(sys.argv[5]))
    else:
        drive(
            Path(sys.argv[1]),
            Path(sys.argv[2]),
            sys.argv[3],
            int(sys.argv[4]),
            int(sys.argv[5]),
            float(sys.argv[6]),
        )
