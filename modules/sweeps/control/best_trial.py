"""best.yaml: the plan of a sweep's best trial, which `python -m pipelines.train plan=...` trains as it is."""

import shlex
from pathlib import Path

from modules.configuration.plans.plan_files import plan_text
from modules.configuration.yaml_files import write_if_changed
from modules.sweeps.control.ledger import Event, Ledger
from modules.sweeps.control.sweep_setup import Sweep
from modules.sweeps.search.search_algorithms import Mode
from modules.sweeps.search.search_space import Point, overrides_of

_SCHEDULE = """\
# Its numbers changed while it was trained (population based training), and its weights came from others on
# the way: trained from the start with the last numbers alone, as this plan does, it may end elsewhere.
"""


def best_trial(events: list[Event], mode: Mode) -> Event | None:
    """The `ended` event of the best trial that was trained to its end, of equals the first to end."""
    ended = [event for event in events if event["event"] == "ended" and event["value"] is not None]
    whole = [event for event in ended if event["status"] in ("FINISHED", "REUSED")]
    sign = 1 if mode == "max" else -1
    return max(whole, key=lambda event: sign * event["value"], default=None)


def point_of(events: list[Event], trial: int) -> Point:
    """The point of a trial; where it changed on the way, the last."""
    points = [event["point"] for event in events if event["event"] == "asked" and event["trial"] == trial]
    for event in events:
        if event["event"] == "report" and event["trial"] == trial and isinstance(event["decision"], dict):
            points.append(event["decision"]["point"])
    return points[-1]


def command_line(sweep: Sweep, point: Point) -> str:
    """The command that trains a point on its own."""
    overrides = [*sweep.space.fixed, *overrides_of(point)]
    own = [override for override in overrides if not override.lstrip("+~").startswith("sweep")]
    return f"python -m pipelines.train {shlex.join(own)}"


def write_best(sweep: Sweep, ledger: Ledger) -> Path | None:
    """Writes best.yaml beside the ledger, if it differs; None while no trial was trained to its end."""
    events = ledger.events()
    best = best_trial(events, sweep.mode)
    if best is None:
        return None
    point = point_of(events, best["trial"])
    plan = sweep.plan_of(point)
    num_trials = sum(event["event"] == "asked" for event in events)
    value = f"{sweep.metric} {best['value']:.6g} ({sweep.mode})"
    header = f"# {value}: number {best['trial']} of {num_trials} trials.\n# {command_line(sweep, point)}\n"
    if sweep.settings.scheduler == "pbt":
        header += _SCHEDULE
    path = sweep.folder / "best.yaml"
    write_if_changed(path, plan_text({**plan.to_plain(), "name": f"{plan.name}_best"}, header))
    return path
