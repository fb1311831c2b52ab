"""What a person sees of a sweep: a live table on a terminal, one line for each trial that ends elsewhere."""

import time
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from modules.sweeps.control.trial import Trial
from modules.sweeps.control.trial_history import Trials

_REFRESH_EVERY_S = 0.25
_MAX_ROWS = 20
_STYLES = {"FINISHED": "green", "REUSED": "green", "STOPPED": "yellow", "FAILED": "red", "REFUSED": "red"}


class LiveTable:
    """
    Args:
        trials: that are shown.
        console: where.
    """

    def __init__(self, trials: Trials, console: Console) -> None:
        self._trials = trials
        self._metric = trials.sweep.metric
        self._console = console
        self._live: Live | None = None
        self._began_s = time.monotonic()
        self._refreshed_s = 0.0
        self._num_slots = 0

    def __enter__(self) -> "LiveTable":
        if self._trials.num_ended:
            self._say(Text(f"going on with {self._trials.sweep.folder}: {self._counts()}"))
        else:
            self._say(Text(f"sweep in {self._trials.sweep.folder}"))
        if self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
        self._say(Text(self._counts()))
        if self._trials.best is not None:
            self._say(Text.assemble("best ", self._line(self._trials.best)))

    def refresh(self) -> None:
        """Draws the table again, now and then."""
        if self._live is not None and time.monotonic() - self._refreshed_s >= _REFRESH_EVERY_S:
            self._refreshed_s = time.monotonic()
            self._live.update(self._table(), refresh=True)

    def ended(self, trial: Trial, is_best: bool) -> None:
        """Shows a trial that has ended; on a terminal what goes well is seen in the table alone."""
        if self._live is None or is_best or trial.status in ("FAILED", "REFUSED"):
            self._say(Text.assemble(self._line(trial), ("  best so far", "bold") if is_best else ""))

    def lost(self, trial: Trial, reason: str) -> None:
        """Shows a trial that will be tried again."""
        self._say(Text(f"trial {trial.number}  lost, tried again: {reason}", style="yellow"))

    def room(self, num_slots: int) -> None:
        """Says that the cluster has lost all its room, when it does."""
        if self._num_slots and not num_slots:
            self._say(Text("no node has room for a trial: waiting for one", style="yellow"))
        self._num_slots = num_slots

    def _say(self, text: Text) -> None:
        self._console.print(text, soft_wrap=True)

    def _line(self, trial: Trial) -> Text:
        value = "" if trial.value is None else f"{self._metric} {trial.value:.4f}  "
        seconds = f"  {trial.seconds:.1f} s" if trial.seconds else ""
        reason = f"  {trial.reason}" if trial.reason else ""
        status = (f"{trial.status:<8}  ", _STYLES[trial.status])
        return Text.assemble(
            f"trial {trial.number:<4} ", status, value, (_overrides(trial), "bold"), seconds, reason
        )

    def _table(self) -> Group:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("trial", justify="right")
        table.add_column("epoch", justify="right")
        table.add_column(self._metric, justify="right")
        table.add_column("seconds", justify="right")
        table.add_column("overrides", no_wrap=True, overflow="ellipsis")
        running = [trial for trial in self._trials if trial.status == "RUNNING"]
        for trial in running[:_MAX_ROWS]:
            table.add_row(
                str(trial.number),
                f"{trial.epoch}/{self._trials.sweep.max_epochs}",
                "" if trial.last is None else f"{trial.last:.4f}",
                f"{time.time() - trial.started_s:.0f}",
                _overrides(trial),
            )
        lines: list[Table | Text] = [table]
        if len(running) > _MAX_ROWS:
            lines.append(Text(f"and {len(running) - _MAX_ROWS} more", style="dim"))
        if self._trials.best is not None:
            lines.append(Text.assemble("best ", self._line(self._trials.best)))
        lines.append(Text(f"{self._counts()}  {time.monotonic() - self._began_s:.0f} s", style="dim"))
        return Group(*lines)

    def _counts(self) -> str:
        counts = self._trials.counts()
        order = ("RUNNING", "WAITING", *_STYLES)
        told = [f"{counts[status]} {status.lower()}" for status in order if counts[status]]
        return ", ".join(told) or "no trial"


def _overrides(trial: Trial) -> str:
    return " ".join(f"{key}={value}" for key, value in trial.point.items())
