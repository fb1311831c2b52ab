"""best.yaml: the plan of a sweep's best trial, which `python -m pipelines.train plan=...` trains as it is."""

from pathlib import Path

from modules.sweeps.ledger import Event, Ledger
from modules.sweeps.search import Mode
from modules.sweeps.setup import Sweep


def best_trial(events: list[Event], mode: Mode) -> Event | None:
    """The `ended` event of the best trial that was trained to its end; None while there is none."""
    ended = [event for event in events if event["event"] == "ended" and event["value"] is not None]
    whole = [event for event in ended if event["status"] in ("FINISHED", "REUSED")]
    sign = 1 if mode == "max" else -1
    return max(whole, key=lambda event: (sign * event["value"], -event["trial"]), default=None)


def write_best(sweep: Sweep, ledger: Ledger) -> Path | None:
    """Writes best.yaml beside the ledger, if it differs; None while no trial was trained to its end."""
    raise NotImplementedError
