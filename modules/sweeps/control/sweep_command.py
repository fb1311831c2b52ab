"""A sweep as a user sees it: run on Ray, and in the end one line of what was best and one of what failed."""

from collections import Counter

from modules.configuration.errors import UserError
from modules.report import numbers
from modules.sweeps.control.best_trial import best_trial, point_of
from modules.sweeps.control.ledger import read_events
from modules.sweeps.control.sweep_setup import Sweep
from modules.sweeps.search.search_space import overrides_of
from modules.training.runs.failure_notice import tell_of_failure


def sweep(swept: Sweep) -> None:
    """Runs a sweep, or goes on with it, and says how it ended; a failure is told to `runtime.on_failure`.

    Raises:
        UserError: a trial failed; the others were trained all the same.
    """
    try:
        _sweep(swept)
    except Exception as error:
        tell_of_failure(swept.runtime.on_failure, "sweep", swept.folder, swept.base.name, error)
        raise


def _sweep(swept: Sweep) -> None:
    from rich.console import Console

    if part := swept.settings.part_of():
        from modules.sweeps.control.sweep_part import train_part

        train_part(swept, *part, Console(stderr=True))
        return
    from modules.sweeps.control.controller import run_sweep

    run_sweep(swept, Console(stderr=True))
    print(summary(swept))
    events = read_events(swept.folder / "ledger.jsonl")
    last = {event["trial"]: event for event in events if event["event"] == "ended"}
    failed = [event for event in last.values() if event["status"] == "FAILED"]
    if failed:
        (reason, times), *others = Counter(event["reason"] for event in failed).most_common()
        also = f" (and {sum(count for _, count in others)} for other reasons)" if others else ""
        numbers = ", ".join(str(event["trial"]) for event in failed[:10]) + (", ..." if failed[10:] else "")
        often = f" x{times}" if times > 1 else ""
        raise UserError(
            f"{len(failed)} of {num_trials(events)} trials failed: {reason}{often}{also}",
            f"Trial {numbers}: see {swept.folder / 'index.html'}"
            + ("; the same command tries again" if any(event.get("of_machine") for event in failed) else ""),
        )


def summary(swept: Sweep) -> str:
    """What was best, by which overrides, and where it lies."""
    events = read_events(swept.folder / "ledger.jsonl")
    best = best_trial(events, swept.mode)
    name, page = swept.base.name, swept.folder / "index.html"
    if best is None:
        return f"{name}: none of {num_trials(events)} trials was trained to its end; page {page}"
    point = " ".join(overrides_of(point_of(events, best["trial"])))
    return (
        f"{name}: best of {num_trials(events)} trials is number {best['trial']},"
        f" {swept.metric} {best['value']:.4f} {point}; recipe {swept.folder / 'best.yaml'}, page {page}"
        f"{_hours(events)}"
    )


def _hours(events: list[dict]) -> str:
    """What all trials have taken together; nothing of those that were trained before."""
    last = {event["trial"]: event for event in events if event["event"] == "ended"}
    told = ""
    for kind in ("cpu", "gpu"):
        hours = sum(event.get(f"{kind}_hours", 0.0) for event in last.values())
        told += f"; {numbers.hours(hours)} {kind.upper()}-hours in all" if hours else ""
    return told


def num_trials(events: list[dict]) -> int:
    return sum(event["event"] == "asked" for event in events)
