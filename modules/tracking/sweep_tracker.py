"""Tracker of a sweep: one run with its trials' runs below it, and one process that delivers them all.

Trials record with `Tracker(..., deliver=False)`, on whatever node, into spools on the shared storage. The one
drainer, on the driver's node, reads them there. Which spools it follows is a list on disk, so that a drainer
or a driver that was killed and started again goes on where it was.
"""

import os
from pathlib import Path
from typing import Any

from filelock import Timeout

from modules.tracking.spool import EVENTS, FOLLOWED, SpoolWriter, read_events, read_followed
from modules.tracking.tracker import STATUSES, WRITER_WAIT_S, Tracker, now_ms
from modules.tracking.tracking_folder import DrainState, read_run, writer_lock


class SweepTracker(Tracker):
    """Records a sweep's run, and has its trials' runs delivered with it.

    `metric`, `tag`, `parameters`, `artifact` and `finish` are the sweep's own, as a Tracker's. A metric's
    step must only grow, over restarts too (the number of ended trials does): what a driver that was killed
    records again at an earlier step is taken for a replay.

    Args:
        folder: <sweep folder>/tracking, made if missing. A folder that holds a sweep goes on with it.
        settings: the section `tracking` of the configuration.
        run: {"name", "identity", "tags": {name: value}}.

    Raises:
        UserError: the settings name no usable store, or another process is recording this sweep.

    Example:
        >>> tracker = SweepTracker(sweep.folder / "tracking", settings, {"name": ..., "identity": ...})
        >>> tracker.follow(run_folder.tracking)  # then, in a worker: Tracker(..., deliver=False)
        >>> tracker.metric("best/validation/accuracy", 0.91, step=num_ended)
        >>> tracker.conclude(run_folder.tracking, "FAILED", "the worker died of signal 11")
        >>> tracker.finish("FINISHED")
    """

    def __init__(self, folder: Path, settings: dict[str, Any], run: dict[str, Any]) -> None:
        self._followed = {followed for followed, _, _ in read_followed(Path(folder).absolute())}
        super().__init__(folder, settings, run)
        self._list = SpoolWriter(self._folder / FOLLOWED)

    def follow(self, folder: Path, name: str = "") -> None:
        """Has the run in `folder` delivered too, as a child of this one; once it is followed, does nothing.

        Best called before the trial is sent to a worker: the folder need not be there yet. A run that the
        tracker has already, of another sweep or of none, stays the one run it is, where it is.

        Args:
            folder: the tracking folder of a trial's run, on storage that this node sees.
            name: what the run is to be called; its own name if not given.
        """
        folder = Path(os.path.normpath(Path(folder).absolute()))
        if folder not in self._followed:
            self._followed.add(folder)
            try:
                self._list.write(
                    {"event": "follow", "folder": os.path.relpath(folder, self._folder), "name": name}
                )
            except OSError as error:
                self._warn(f"{self._folder / FOLLOWED}: {error.strerror}; runs to deliver wait in memory")

    def conclude(self, folder: Path, status: str, reason: str = "") -> None:
        """Says how a trial's run ended whose process cannot say it any more: it crashed or was killed.

        Nothing is said of a run that was never opened, or that a living process is still recording.

        Args:
            folder: the tracking folder of the trial's run.
            status: FINISHED, FAILED or KILLED.
            reason: why, in one line.
        """
        if status not in STATUSES:
            raise ValueError(f"{status!r} is none of {', '.join(STATUSES)}")
        if read_run(folder) is None:
            return
        try:
            with writer_lock(folder).acquire(timeout=WRITER_WAIT_S):
                writer = SpoolWriter(folder / EVENTS)
                writer.write({"event": "finish", "status": status, "reason": reason, "time_ms": now_ms()})
                writer.close()
        except Timeout:
            pass

    def _why_left(self, size: int) -> str:
        if why := super()._why_left(size):
            return why
        self._followed = {folder for folder in self._followed if not _is_delivered(folder)}
        if not self._followed:
            return ""
        errors = {state.error for folder in self._followed if (state := DrainState.load(folder))}
        why = next(iter(errors - {""}), "the tracker did not take it in time")
        return f"{len(self._followed):,} of its trials are not delivered, {why}"


def _is_delivered(folder: Path) -> bool:
    """Whether the tracker has all of a run that has ended, or there is nothing to deliver."""
    run = read_run(folder)
    if run is None or run["settings"]["uri"] is None or next(read_events(folder / EVENTS), None) is None:
        return True
    state = DrainState.load(folder)
    return (
        state is not None
        and state.uri == run["settings"]["uri"]
        and state.has_ended
        and state.holds_all((folder / EVENTS).stat().st_size)
    )
