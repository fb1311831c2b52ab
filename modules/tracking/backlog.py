"""Backlog: how much of a run's spool its tracker has, and how the run itself fared."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from modules.tracking.spool import EVENTS, read_events, read_followed, spool_files
from modules.tracking.tracking_folder import RUN, DrainState, is_held, read_run, writer_lock


@dataclass(frozen=True)
class Backlog:
    """One tracking folder, seen from outside.

    Attributes:
        folder: the tracking folder.
        name: of the run.
        uri: of its tracker; None where there is none.
        status: RUNNING, FINISHED, FAILED or KILLED, as the spool and its writer's life tell.
        num_sent: values and events that the tracker has.
        num_left: those that wait.
        is_settled: whether the tracker has everything, the run's status included.
        error: why it does not take what waits.
        num_trials: of a sweep: the runs that are delivered with it, and counted here.
    """

    folder: Path
    name: str
    uri: str | None
    status: str
    num_sent: int
    num_left: int
    is_settled: bool
    error: str
    num_trials: int = 0


def backlogs(runs: Path, sweeps: Path) -> list[Backlog]:
    """The backlogs of the sweeps, their trials with them, then of all other runs; oldest first."""
    heads = _read(path.parent for path in sweeps.glob(f"*/tracking/{RUN}"))
    trials = {head.folder: [path for path, _, _ in read_followed(head.folder.absolute())] for head in heads}
    followed = {path for paths in trials.values() for path in paths}
    alone = _read(
        path.parent for path in runs.glob(f"*/tracking/{RUN}") if path.parent.absolute() not in followed
    )
    return [_with_trials(head, _read(trials[head.folder])) for head in heads] + alone


def _read(folders: Iterable[Path]) -> list[Backlog]:
    found = [read_backlog(folder) for folder in sorted(folders, key=_started_ms)]
    return [backlog for backlog in found if backlog is not None]


def _with_trials(head: Backlog, trials: list[Backlog]) -> Backlog:
    """A sweep's own backlog and those of its trials in one; what still runs is not behind."""
    errors = [backlog.error for backlog in (head, *trials) if backlog.error]
    return replace(
        head,
        num_sent=head.num_sent + sum(backlog.num_sent for backlog in trials),
        num_left=head.num_left + sum(backlog.num_left for backlog in trials),
        is_settled=head.is_settled and all(backlog.is_settled for backlog in trials),
        error=next(iter(errors), ""),
        num_trials=len(trials),
    )


def read_backlog(folder: Path) -> Backlog | None:
    """The backlog of one tracking folder; None where no run has been opened."""
    run = read_run(folder)
    if run is None:
        return None
    uri = run["settings"]["uri"]
    state = DrainState.load(folder)
    if state is None or (state.uri, state.experiment) != (uri, run["settings"]["experiment"]):
        state = DrainState(uri or "", run["settings"]["experiment"])
    num_sent = num_left = 0
    status = ""
    for name in spool_files(folder):
        for event, end in read_events(folder / name):
            count = 0 if event is None else len(event["rows"]) if event["event"] == "metrics" else 1
            if end <= state.offsets.get(name, 0):
                num_sent += count
            else:
                num_left += count
            status = _status_after(event, status)
    if not status:
        status = "RUNNING" if is_held(writer_lock(folder)) else "KILLED"
    num_left += len(state.artifacts)
    is_settled = uri is None or (num_left == 0 and state.status == status)
    return Backlog(folder, run["name"], uri, status, num_sent, num_left, is_settled, state.error)


def _status_after(event: dict[str, Any] | None, status: str) -> str:
    """The status that a training session's start and end leave; "" while it has not said how it ended."""
    match event:
        case {"event": "start", "adding": False}:
            return ""
        case {"event": "start", "adding": True} if not status:
            return "KILLED"
        case {"event": "finish", "status": ended} if not status:
            return ended
    return status


def _started_ms(folder: Path) -> int:
    event, _ = next(read_events(folder / EVENTS), (None, 0))
    return event["time_ms"] if event else 0
