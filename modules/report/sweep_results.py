"""What the page of a sweep shows: its trials, read from the ledger and, where that says less, from runs."""

import json
import math
import re
import shlex
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modules.configuration.errors import UserError
from modules.configuration.regular_file import read_regular, read_regular_text

_MULTIRUN = ("python", "-m", "pipelines.train", "-m")
ENDED_WELL = ("FINISHED", "REUSED")
# Numbers that were listed and are no more than these have a place each on their axis.
MOST_LISTED = 8
# In this order they stand in the table.
STATUSES = (*ENDED_WELL, "RUNNING", "STOPPED", "WAITING", "FAILED", "REFUSED")


@dataclass
class Trial:
    """One trial.

    Attributes:
        number: from 0, in the order in which they were asked for.
        point: override key to value text; the last one, where a population changed it on the way.
        identity: of its run.
        status: one of STATUSES.
        value: of the sweep's metric: at the end, or after the last epoch so far; None if there is none.
        reason: why it ended so, or was refused.
        seconds: of training; None if it was not trained here.
        ended_s: when it ended, in seconds since 1970; 0 if it has not.
        num_lost: how often its worker died and it was tried again.
        cpu_hours: that its run held; None if it was not trained here, or that was not kept yet.
        gpu_hours: likewise.
        curve: the metric after each epoch that was validated.
        metrics: all that was measured after the last of them.
    """

    number: int
    point: dict[str, str]
    identity: str
    status: str = "WAITING"
    value: float | None = None
    reason: str = ""
    seconds: float | None = None
    ended_s: float = 0.0
    num_lost: int = 0
    cpu_hours: float | None = None
    gpu_hours: float | None = None
    curve: dict[int, float] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)

    @property
    def ended_well(self) -> bool:
        """Whether it was trained to its end, and scored."""
        return self.status in ENDED_WELL and self.value is not None


@dataclass(frozen=True)
class Axis:
    """One swept key, or the metric, as a scale.

    Attributes:
        key: of the override.
        values: the texts of its values, the least first, where each has a place of its own; else None.
        is_numeric: whether all of them are numbers.
        low: least number.
        high: greatest number.
        log: whether the numbers are spread by their logarithm.
    """

    key: str
    values: tuple[str, ...] | None
    is_numeric: bool = False
    low: float = 0.0
    high: float = 1.0
    log: bool = False


@dataclass(frozen=True)
class SweepResults:
    """A sweep, as its ledger tells it.

    Attributes:
        name: of its folder.
        overrides: of its command.
        metric: that it is about.
        mode: "max" or "min".
        trials: in order of their numbers.
        started_s: seconds since 1970.
        last_s: when the ledger was last written.
    """

    name: str
    overrides: list[str]
    metric: str
    mode: str
    trials: list[Trial]
    started_s: float
    last_s: float

    @property
    def recipe(self) -> str:
        """The recipe that it varies; empty where it varies recipes."""
        given = self._given("recipe").partition("=")[2]
        return "" if "," in given else given.rpartition("/")[2]

    @property
    def command(self) -> str:
        """What repeats it from the repository's root."""
        given = [text for text in self.overrides if not text.startswith("hydra/sweeper=")]
        keys = [text.partition("=")[0] for text in given]
        if len(keys) == len(set(keys)):
            return shlex.join([*_MULTIRUN, "hydra/sweeper=ray", *given])
        # Hydra's own sweeper spanned a grid, and gave each point by itself.
        fixed = [text for text, key in zip(given, keys, strict=True) if keys.count(key) == 1]
        return shlex.join([*_MULTIRUN, "hydra/launcher=ray", *fixed, *self._grid()])

    def _grid(self) -> list[str]:
        """The values of each swept key, in the order in which they were first tried."""
        values: dict[str, dict[str, None]] = {}
        for trial in self.trials:
            for key, text in trial.point.items():
                values.setdefault(key, {})[text] = None
        return [f"{key}={','.join(texts)}" for key, texts in values.items()]

    @property
    def cpu_hours(self) -> float:
        """Of all trials that were trained here."""
        return sum(trial.cpu_hours or 0.0 for trial in self.trials)

    @property
    def gpu_hours(self) -> float:
        """Of all trials that were trained here."""
        return sum(trial.gpu_hours or 0.0 for trial in self.trials)

    @property
    def sign(self) -> int:
        return 1 if self.mode == "max" else -1

    @property
    def best(self) -> Trial | None:
        """The best of those that were trained to their end; of equals, the first to end."""
        whole = [trial for trial in self.trials if trial.ended_well]
        return max(whole, key=lambda trial: (self.sign * (trial.value or 0.0), -trial.ended_s), default=None)

    @property
    def counts(self) -> Counter[str]:
        return Counter(trial.status for trial in self.trials)

    def ranked(self) -> list[Trial]:
        """The best first; those that were stopped, failed or refused below those that ended well."""

        def place(trial: Trial) -> tuple[int, float, float]:
            group = 0 if trial.status in ENDED_WELL else STATUSES.index(trial.status)
            value = math.inf if trial.value is None else -self.sign * trial.value
            return group, value, trial.ended_s

        return sorted(self.trials, key=place)

    def axes(self) -> list[Axis]:
        """The swept keys, in the order of the command."""
        keys = list(dict.fromkeys(key for trial in self.trials for key in trial.point))
        return [
            axis_of(key, [trial.point.get(key) for trial in self.trials], self._given(key)) for key in keys
        ]

    def _given(self, key: str) -> str:
        return next((text for text in self.overrides if text.partition("=")[0] == key), "")


def axis_of(key: str, texts: list[str | None], given: str = "") -> Axis:
    """The scale of a key: numbers where all its values are some, by their logarithm where that was asked for.

    Args:
        key: of the override.
        texts: its value in every trial; None where a trial has none.
        given: the override that swept it, if it is known.
    """
    distinct = sorted({"–" if text is None else text for text in texts}, key=_natural)
    numbers = [number for text in distinct if (number := as_number(text)) is not None]
    if len(numbers) < len(distinct) or not numbers:
        return Axis(key, tuple(distinct))
    low, high, plotted = min(numbers), max(numbers), "interval" in given
    log = low > 0 and ("log" in given if plotted else high / low >= 20)
    listed = tuple(distinct) if not plotted and len(distinct) <= MOST_LISTED else None
    return Axis(key, listed, True, low, high, log)


def _natural(text: str) -> tuple[bool, float, list[tuple[bool, float, str]]]:
    """Numbers in order of size, also inside text: [64] before [256] before [256,128]."""
    number = as_number(text)
    parts = [part for part in re.split(r"(\d+)", text.replace("]", " ")) if part]
    found = [(part.isdecimal(), float(part) if part.isdecimal() else 0.0, part) for part in parts]
    return number is None, number or 0.0, found


def as_number(text: str) -> float | None:
    """The finite number that a text writes, if it does."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def read_sweep(folder: Path) -> SweepResults:
    """Reads <folder>/ledger.jsonl, which may still be written.

    Raises:
        UserError: there is no ledger of a sweep.
    """
    events = _events(folder / "ledger.jsonl")
    if not events or events[0].get("event") != "sweep":
        raise UserError(f"{folder} holds no sweep's ledger", "Run a sweep: python -m pipelines.sweep --help")
    about, trials = events[0], {}
    for event in events[1:]:
        if event["event"] == "asked":
            trials[event["trial"]] = Trial(event["trial"], dict(event["point"]), event["identity"])
        elif event.get("trial") in trials:
            _take_in(trials[event["trial"]], event, about["metric"])
    for trial in trials.values():
        if not trial.curve and trial.status == "REUSED":
            _take_in_run(trial, folder.parent.parent / "runs" / trial.identity[:16], about["metric"])
        if trial.value is None and trial.curve:
            trial.value = trial.curve[max(trial.curve)]
        if trial.value is not None and not math.isfinite(trial.value):
            trial.value = None
    return SweepResults(
        name=folder.resolve().name,
        overrides=about["overrides"],
        metric=about["metric"],
        mode=about["mode"],
        trials=[trials[number] for number in sorted(trials)],
        started_s=about["time_s"],
        last_s=events[-1]["time_s"],
    )


def _take_in(trial: Trial, event: dict[str, Any], metric: str) -> None:
    match event["event"]:
        case "refused":
            trial.status, trial.reason = "REFUSED", event["reason"]
        case "started":
            trial.status = "RUNNING"
        case "lost":
            trial.status = "WAITING"
            trial.num_lost += 1
        case "report":
            trial.metrics = event["metrics"]
            if metric in event["metrics"]:
                trial.curve[event["epoch"]] = event["metrics"][metric]
            if isinstance(event["decision"], dict):
                trial.point = dict(event["decision"]["point"])
        case "again":
            trial.status, trial.reason = "WAITING", ""
        case "ended":
            trial.status, trial.reason = event["status"], event["reason"] or ""
            trial.value, trial.seconds = event["value"], event["seconds"]
            trial.cpu_hours, trial.gpu_hours = event.get("cpu_hours"), event.get("gpu_hours")
            trial.ended_s = event["time_s"]


def _take_in_run(trial: Trial, run: Path, metric: str) -> None:
    """What a run that was trained before measured: the metric after each epoch, and the last of all."""
    try:
        history = json.loads(read_regular_text(run / "history.json"))
        measured = {
            name: [float(value) for _, value in points]
            for name, points in history.items()
            if name.startswith("validation/")
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return
    trial.curve = dict(enumerate(measured.get(metric, []), 1))
    trial.metrics = {name: values[-1] for name, values in measured.items() if values}


def _events(path: Path) -> list[dict[str, Any]]:
    """All whole lines; what a kill left of the last one is no event."""
    try:
        lines = read_regular(path, links=True).split(b"\n")[:-1]
    except OSError:
        return []
    try:
        return [json.loads(line) for line in lines]
    except ValueError as error:
        raise UserError(f"{path} is damaged: {error}", "Take the folder away to sweep again") from error
