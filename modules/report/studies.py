"""Studies: spaces of conf/space with a `chart`, plotted from the ledgers of their sweeps.

One line a series; the mean over all axes of the space that the chart does not name, such as seeds, against
one axis, and from the least to the greatest value a thin line at each point.
"""

import math
from dataclasses import dataclass
from pathlib import Path

from modules.configuration.errors import ConfigError
from modules.configuration.schema.execution_settings import ChartSettings
from modules.configuration.schema.settings import read
from modules.configuration.yaml_files import read_yaml
from modules.evaluation.findings import Chart, Series
from modules.report import numbers
from modules.report.charts import Spread
from modules.report.sweep_results import SweepResults, Trial, as_number, read_sweep

ALL = "all"
"""What `null` is called across, as in a number of samples."""


@dataclass(frozen=True)
class Cell:
    """The values at one point of one series."""

    mean: float
    low: float
    high: float
    count: int


@dataclass(frozen=True)
class Study:
    """A swept space, ready to be shown.

    Attributes:
        name: of the space.
        chart: its lines.
        across: marked values of x, with their labels.
        spreads: of each line.
        rows: of the table: label of x, and a cell of each series, where it was tried.
        verdict: of two series, where all trials of one lie above those of the other; else empty.
        num_trials: that were asked for.
        num_scored: that were trained to their end, and have the metric.
    """

    name: str
    chart: Chart
    across: list[tuple[float, str]]
    spreads: list[list[Spread]]
    rows: list[tuple[str, list[Cell | None]]]
    verdict: str
    num_trials: int
    num_scored: int


@dataclass(frozen=True)
class Studies:
    """All spaces with a chart.

    Attributes:
        plotted: those whose sweep has results.
        waiting: names of the others.
    """

    plotted: list[Study]
    waiting: list[str]


NO_STUDIES = Studies([], [])


def read_studies(build: Path) -> Studies:
    """Every planned chart, and the ledger of its space under build/sweep, where it is there.

    Raises:
        UserError: a file can't be read.
    """
    found = Studies([], [])
    for path in sorted((build / "plan" / "charts").glob("*.yaml")):
        try:
            settings = read(ChartSettings, read_yaml(path))
        except ConfigError as fault:
            raise fault.at(str(path)) from None
        folder = build / "sweep" / path.stem
        plotted = study(read_sweep(folder), settings) if (folder / "ledger.jsonl").is_file() else None
        if plotted is None:
            found.waiting.append(path.stem)
        else:
            found.plotted.append(plotted)
    return found


def study(sweep: SweepResults, settings: ChartSettings) -> Study | None:
    """Groups the trials of a sweep; None while none of them has a value."""
    labels = {_plain(text): name for text, name in settings.labels.items()}
    groups: dict[str, dict[str, list[float]]] = {}
    for trial in sweep.trials:
        value = _value(trial, sweep, settings)
        if value is not None:
            across = trial.point.get(settings.x, "")
            groups.setdefault(_series(trial, settings, labels), {}).setdefault(across, []).append(value)
    if not groups:
        return None
    texts = list(dict.fromkeys(text for by_text in groups.values() for text in by_text))
    log = settings.log_x and all((number := as_number(text)) is None or number > 0 for text in texts)
    places = _places(texts, log)
    cells = {
        name: {text: _cell(values) for text, values in by_text.items()} for name, by_text in groups.items()
    }
    ordered = sorted(places, key=places.__getitem__)
    marks = {text: (labels | {"null": ALL}).get(_plain(text), text) for text in ordered}
    rows = [(marks[text], [of.get(text) for of in cells.values()]) for text in ordered]
    return Study(
        name=sweep.name,
        chart=Chart(
            name=sweep.name,
            title=settings.title,
            caption=settings.caption,
            kind="lines",
            x=numbers.spoken(settings.x.rpartition(".")[2]),
            y=numbers.spoken(settings.y or sweep.metric),
            series=[
                Series(name, [(places[text], of[text].mean) for text in ordered if text in of])
                for name, of in cells.items()
            ],
            log_x=log,
        ),
        across=[(places[text], marks[text]) for text in ordered],
        spreads=[
            [(places[text], of[text].low, of[text].high) for text in ordered if text in of]
            for of in cells.values()
        ],
        rows=rows,
        verdict=_verdict(rows, list(cells)),
        num_trials=len(sweep.trials),
        num_scored=sum(cell.count for of in cells.values() for cell in of.values()),
    )


def _value(trial: Trial, sweep: SweepResults, settings: ChartSettings) -> float | None:
    if not trial.ended_well:
        return None
    value = trial.value if settings.y in (None, sweep.metric) else trial.metrics.get(settings.y)
    return value if value is not None and math.isfinite(value) else None


def _series(trial: Trial, settings: ChartSettings, labels: dict[str, str]) -> str:
    """What a trial's series is called: the values of its axes, numbers with the last word of their key."""
    words = []
    for key in settings.series_keys:
        text = trial.point.get(key, "")
        bare = as_number(text) is not None or text in ("null", "true", "false")
        named = f"{numbers.spoken(key.rpartition('.')[2])} {text}" if bare else text
        words.append(labels.get(_plain(text), named))
    return ", ".join(words)


def _places(texts: list[str], log: bool) -> dict[str, float]:
    """Where the values stand: numbers where they belong, other words a step apart beyond them."""
    found = {text: number for text in texts if (number := as_number(text)) is not None}
    known = sorted(found.values())
    others = [text for text in texts if text not in found]
    if not known:
        return {text: float(place) for place, text in enumerate(others)}
    last, before = known[-1], known[-2] if len(known) > 1 else known[-1]
    for place, text in enumerate(others, 1):
        ratio = max(last / before, 2.0) if log else 1.0
        found[text] = last * ratio**place if log else last + place * ((last - before) or 1.0)
    return found


def _cell(values: list[float]) -> Cell:
    return Cell(sum(values) / len(values), min(values), max(values), len(values))


def _verdict(rows: list[tuple[str, list[Cell | None]]], names: list[str]) -> str:
    """Which of two series lies above the other where, and where that cannot be said."""
    if len(names) != 2:
        return ""
    places: dict[str, list[str]] = {"first": [], "second": [], "neither": []}
    for mark, (first, second) in rows:
        if first is not None and second is not None:
            above = "first" if first.low > second.high else "second" if second.low > first.high else "neither"
            places[above].append(mark)
    one, other = names
    says = [
        f"“{one}” is above “{other}” in every trial at {_listed(places['first'])}",
        f"“{other}” is above “{one}” in every trial at {_listed(places['second'])}",
        f"their trials lie among each other at {_listed(places['neither'])}",
    ]
    said = "; ".join(text for text, found in zip(says, places.values(), strict=True) if found)
    return said[:1].upper() + said[1:] + "." if said else ""


def _listed(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def _plain(text: str) -> str:
    """A value's text without spaces and quotes: lists may be written with or without them."""
    return "".join(text.split()).replace("'", "").replace('"', "")
