"""What a run's tracking folder holds beside the spool: whose run it is, and how far the drainer has come.

run.json        the run and its tracker, written when a session opens
state.json      what the tracker has acknowledged, written by the drainer after every batch
writer.lock     held by the training process for its life: the kernel lets go of it however that ends
drainer.lock    held by the one drainer
artifacts/      copies of what the run hands to the tracker as files
drainer.log     what the drainer met
"""

import dataclasses
import fcntl
import json
import os
import shutil
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from filelock import FileLock

from modules.configuration.errors import UserError
from modules.configuration.regular_file import open_regular, read_regular, read_regular_text
from modules.tracking.spool import EVENTS

RUN = "run.json"
STATE = "state.json"
ARTIFACTS = "artifacts"
LOG = "drainer.log"


@dataclass
class DrainState:
    """How far the tracker has acknowledged a spool; saved in one piece, so that batch and offset agree.

    Attributes:
        uri: the tracker that this is about; another one is sent everything from the start.
        experiment: the experiment there.
        run_id: MLflow's run, once there is one.
        is_requested: whether the tracker was asked to create the run: it may be there though `run_id` is not.
        may_be_doubled: whether it may have been asked twice.
        offsets: bytes acknowledged of each spool file.
        latest: see ReplayFilter.
        barrier: see ReplayFilter.
        adding: see ReplayFilter.
        parameters: names sent so far; MLflow lets no parameter change.
        artifacts: files, and their folders in the run, that are still to be uploaded.
        status: the run's status as the tracker knows it.
        error: why the tracker does not take what is left; empty while all is well.
        num_refused: values that the tracker will never take.
    """

    uri: str
    experiment: str
    run_id: str = ""
    is_requested: bool = True
    may_be_doubled: bool = False
    offsets: dict[str, int] = field(default_factory=dict)
    latest: dict[str, list[Any]] = field(default_factory=dict)
    barrier: dict[str, int] = field(default_factory=dict)
    adding: bool = False
    parameters: list[str] = field(default_factory=list)
    artifacts: list[list[str]] = field(default_factory=list)
    status: str = ""
    error: str = ""
    num_refused: int = 0

    @classmethod
    def load(cls, folder: Path) -> "DrainState | None":
        """The folder's state; None where there is none that can be read (sending again doubles nothing)."""
        try:
            return cls(**json.loads(read_regular_text(folder / STATE)))
        except (OSError, ValueError, TypeError, UserError):
            return None

    @property
    def has_ended(self) -> bool:
        """Whether the tracker knows how the run ended."""
        return self.status not in ("", "RUNNING")

    def holds_all(self, size: int) -> bool:
        """Whether the first `size` bytes of events, and the files they name, have reached the tracker."""
        return self.offsets.get(EVENTS, 0) >= size and not self.artifacts

    def save(self, folder: Path, durably: bool = False) -> None:
        """Writes the state in one piece; if `durably`, so that it outlives a power cut."""
        write_json(folder / STATE, dataclasses.asdict(self), durably)


def read_run(folder: Path) -> dict[str, Any] | None:
    """What a Tracker wrote of its run, {spool, name, identity, tags, settings, pid}; None if none has."""
    try:
        return json.loads(read_regular_text(folder / RUN))
    except (OSError, ValueError, UserError):
        return None


def write_json(path: Path, content: dict[str, Any], durably: bool = False) -> None:
    """Replaces a file in one piece; if `durably`, waits until the disk has it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w") as file:
        file.write(json.dumps(content))
        if durably:
            file.flush()
            os.fsync(file.fileno())
    temporary.replace(path)


def writer_lock(folder: Path) -> FileLock:
    """Held by the process that writes the spool."""
    return FileLock(folder / "writer.lock", thread_local=False)


def drainer_lock(folder: Path) -> FileLock:
    """Held by the process that sends the spool."""
    return FileLock(folder / "drainer.lock", thread_local=False)


def is_held(lock: FileLock) -> bool:
    """Whether another process (or lock object) holds the lock; to ask takes no right to write."""
    try:
        with open_regular(Path(lock.lock_file)) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        pass
    return False


def keep_file(folder: Path, file: Path) -> str:
    """Copies a file into the tracking folder, under its content's hash; returns the path from there."""
    digest = sha256(read_regular(file, links=True)).hexdigest()[:16]
    kept = folder / ARTIFACTS / digest / file.name
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        temporary = kept.with_name(f".{kept.name}.{os.getpid()}")
        shutil.copyfile(file, temporary)
        temporary.replace(kept)
    return kept.relative_to(folder).as_posix()
