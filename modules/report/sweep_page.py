"""The page of a sweep: one HTML file beside its ledger that needs no network and no script."""

from pathlib import Path

from markupsafe import Markup

from modules.configuration.yaml_files import write_if_changed
from modules.report import numbers
from modules.report.importance import importances
from modules.report.parallel_coordinates import parallel_coordinates
from modules.report.sweep_curves import importance_bars, learning_curves
from modules.report.sweep_results import STATUSES, SweepResults, read_sweep
from modules.report.templates import HERE, template

# Rows of the table beyond these are folded.
MOST_OPEN = 50
SPOKEN = {
    "FINISHED": "finished",
    "REUSED": "trained before",
    "RUNNING": "running",
    "STOPPED": "stopped early",
    "WAITING": "waiting",
    "FAILED": "failed",
    "REFUSED": "refused",
}


def write_sweep_page(folder: Path) -> Path:
    """Writes <folder>/index.html from the ledger and the runs; may be called while the sweep is under way.

    Raises:
        UserError: there is no ledger of a sweep.
    """
    page = folder / "index.html"
    write_if_changed(page, render(read_sweep(folder)))
    return page


def render(sweep: SweepResults) -> str:
    """The page as text: the same ledger always gives the same bytes."""
    found = importances(sweep)
    ranked = sweep.ranked()
    style = "".join((HERE / name).read_text(encoding="utf-8") for name in ("page.css", "sweep.css"))
    page = template("sweep.html.jinja", duration=numbers.duration, hours=numbers.hours, moment=numbers.moment)
    return page.render(
        style=Markup(style),
        sweep=sweep,
        headline=headline(sweep),
        told=", ".join(
            f"{sweep.counts[status]:,} {SPOKEN[status]}" for status in STATUSES if sweep.counts[status]
        ),
        coordinates=parallel_coordinates(sweep) if sweep.axes() else None,
        curves=learning_curves(sweep),
        found=found,
        bars=importance_bars(found) if found else None,
        keys=[axis.key for axis in sweep.axes()],
        open_rows=ranked[:MOST_OPEN],
        folded_rows=ranked[MOST_OPEN:],
        spoken=SPOKEN,
    )


def headline(sweep: SweepResults) -> str:
    """What the page shows, in a few words."""
    count = f"{len(sweep.trials):,} {'trial' if len(sweep.trials) == 1 else 'trials'}"
    of = f" of {sweep.recipe}" if sweep.recipe else ""
    if sweep.best is None:
        return f"{count}{of}, none trained to its end yet"
    score = f"{sweep.metric.rpartition('/')[2].capitalize()} {sweep.best.value:.4g}"
    return (
        f"{score} is the best of {count}{of}" if len(sweep.trials) > 1 else f"{score} in the only trial{of}"
    )
