"""The folder of one run, `runs/<first 16 digits of its identity>`: what is kept of it, and who may write
there.

    plan.yaml               what is trained
    checkpoints/last.ckpt   where to go on; see `modules.training.runs.checkpoint`
    tracking/               the spool of its metrics
    first_steps.json        a digest of the weights after the first block; see `modules.training.runs.replay`
    checkpoints/epoch_*.pt  weights of the epochs that `trainer.keep` keeps
    profile/                what `profiler` measured
    stuck/worker_*.txt      where each worker stood when one kept the others waiting: the stack of each
                            thread, and torch's record of the newest collectives
    weights.pt              the trained model's state_dict, nothing else
    weights_last.pt         where weights.pt is that of the best epoch, that of the last
    history.json            {name of a curve: [[step, value], ...]}
    summary.json            figures of the training
    sessions.jsonl          where its time went; see `modules.training.runs.sessions`
    outcome.json            {status: FINISHED, KILLED or FAILED, reason, and sha256 of history and summary};
                            written last

Imports no torch: that a run is already trained is said at once.
"""

import filecmp
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from modules.configuration.errors import UserError
from modules.configuration.plans.run_plan import Plan
from modules.configuration.refused_access import access_errors
from modules.configuration.regular_file import read_regular_text
from modules.configuration.yaml_files import write_if_changed

RESULTS = ("weights.pt", "history.json", "summary.json")
WEIGHTS_LAST = "weights_last.pt"
"""Is there beside them where `trainer.keep.best` made the best epoch's weights the run's."""
_DIGESTED = RESULTS[1:]  # weights are an archive with checksums of its own
STUCK = "stuck"
_LOCK = ".lock"
FIRST_STEPS = "first_steps.json"
HELD_WAIT_S = 60.0
"""For the worker of a driver that was killed to be gone."""


class RunFolder:
    """Where one run is kept.

    Args:
        path: the folder; made when it is first written to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.plan = path / "plan.yaml"
        self.checkpoint = path / "checkpoints" / "last.ckpt"
        self.tracking = path / "tracking"
        self.weights = path / "weights.pt"
        self.weights_last = path / WEIGHTS_LAST

    @contextmanager
    def held(self, wait_s: float = 0.0) -> Iterator[None]:
        """Keeps every other process from training the same run; the kernel lets go however this one ends.

        Args:
            wait_s: how long to wait for another process that holds it.

        Raises:
            UserError: another process is training it, or the folder cannot be written to.

        A folder that is as empty at the end as at the start, of a start that was refused, is removed.
        """
        lock = FileLock(self.path / _LOCK, timeout=wait_s)
        try:
            with access_errors(self.path):
                self.path.mkdir(parents=True, exist_ok=True)
                lock.acquire()
                while not (self.path / _LOCK).exists():  # another removed it, and the folder, in this moment
                    lock.release()
                    self.path.mkdir(parents=True, exist_ok=True)
                    lock.acquire()
        except Timeout:
            raise UserError(
                f"another process is training {self.path}", "Wait for it, or stop it and start again"
            ) from None
        try:
            yield
        finally:
            self._remove_if_empty()
            lock.release()

    def _remove_if_empty(self) -> None:
        with suppress(OSError):
            if [entry.name for entry in self.path.iterdir()] == [_LOCK]:
                (self.path / _LOCK).unlink()
                self.path.rmdir()

    def finished(self) -> bool:
        """Whether the run has been trained to its end, with all its results in place.

        Raises:
            UserError: its history or its summary is not what the run wrote.
        """
        outcome = self.read("outcome.json")
        complete = all((self.path / name).is_file() for name in RESULTS)
        if not complete or outcome is None or outcome.get("status") != "FINISHED":
            return False
        digests = outcome.get("sha256")
        for name in _DIGESTED:
            if isinstance(digests, dict) and self._digest(name) != digests.get(name):
                raise UserError(
                    f"{self.path / name} is not what the run wrote",
                    f"Take {self.path} away, and the same command trains it again",
                )
        return True

    def end(self, status: str, reason: str) -> None:
        """Writes outcome.json."""
        outcome = {"status": status, "reason": reason, "ended_s": round(time.time(), 3)}
        if status == "FINISHED":
            outcome["sha256"] = {name: self._digest(name) for name in _DIGESTED}
        self.write("outcome.json", outcome)

    def _digest(self, name: str) -> str:
        return sha256(read_regular_text(self.path / name).encode()).hexdigest()

    def read(self, name: str) -> dict[str, Any] | None:
        """A JSON file of the folder; None if it is not there or not whole."""
        try:
            content = json.loads(read_regular_text(self.path / name))
        except (OSError, ValueError, RecursionError, UserError):
            return None
        return content if isinstance(content, dict) else None

    def write(self, name: str, content: dict[str, Any]) -> None:
        """Writes a JSON file of the folder, whole or not at all."""
        write_if_changed(self.path / name, json.dumps(content, indent=1) + "\n")

    def publish(self, folder: Path, phases: "dict[str, RunFolder]") -> None:
        """Copies the results to a folder of their own.

        Args:
            folder: gets them, and phases.json: {name: {"summary", "history"}}.
            phases: the runs that were trained before this one, by the names of their phases.
        """
        folder.mkdir(parents=True, exist_ok=True)
        before = {
            name: {what: run.read(f"{what}.json") or {} for what in ("summary", "history")}
            for name, run in phases.items()
        }
        write_if_changed(folder / "phases.json", json.dumps(before, indent=1) + "\n")
        has_last = self.weights_last.is_file()
        if not has_last and (folder / WEIGHTS_LAST).is_file():
            (folder / WEIGHTS_LAST).unlink()
        for name in (*RESULTS, WEIGHTS_LAST) if has_last else RESULTS:
            if (folder / name).is_file() and filecmp.cmp(self.path / name, folder / name, shallow=False):
                continue  # what is right as it lies needs no right to write
            unfinished = folder / f".{name}"
            shutil.copyfile(self.path / name, unfinished)
            unfinished.replace(folder / name)


def chosen_weights(trained: Path, plan: Plan, which: Literal["best", "last"] | None) -> Path:
    """The file of a training's weights.

    Args:
        trained: its folder in runs/ or build/train/.
        plan: of it.
        which: None is the best where it kept one, else the last.

    Raises:
        UserError: it kept no best.
    """
    kept_both = plan.trainer.keep.best > 0 and (trained / WEIGHTS_LAST).is_file()
    if which == "best" and not kept_both:
        raise UserError(
            f"{trained} kept no best epoch, only the last",
            f"Train one that does: python -m pipelines.train recipe={plan.name} trainer.keep.best=1",
        )
    return trained / (WEIGHTS_LAST if which == "last" and kept_both else RESULTS[0])
