"""Trains, evaluates and registers every recipe of the catalogue, or what of it is not there yet.

python -m pipelines.catalogue dry_run=true       show what is left, and how long it would take
python -m pipelines.catalogue max_minutes=10     leave out what takes longer, or nobody knows how long
python -m pipelines.catalogue family=recurrent   one folder of conf/recipe, and what its recipes need
python -m pipelines.catalogue                    all of it: many hours
python -m pipelines.catalogue stage=report jobs=2   what `make run` makes, two recipes at once

A recipe comes after those that it begins from, learns from or asks in its evaluation, and the short ones come
first. One that fails stops none but those that need it. Stopped in whatever way, the same command goes on:
DVC keeps what is made, and a training goes on from its checkpoint. It ends with the report, and a status
other than 0 if something failed.
"""

import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modules.configuration.command import arguments, run

if TYPE_CHECKING:
    from modules.planning.catalogue_order import Choice, Entry
    from modules.planning.recipe_state import State

FAILED = 1


@dataclass(frozen=True)
class Arguments:
    """
    Args:
        max_minutes: leave out recipes that take longer on one core, or of which nobody knows.
        family: the folder of conf/recipe to train, with what its recipes need; by default all.
        stage: only the recipes whose results this stage of dvc.yaml takes, and what they need.
        jobs: how many recipes are trained at once, each with its share of the cores.
        dry_run: show what would be trained, and train nothing.
    """

    max_minutes: float | None = None
    family: str | None = None
    stage: str | None = None
    jobs: int = 1
    dry_run: bool = False


@dataclass(frozen=True)
class Outcome:
    """
    Args:
        failed: recipes of which a stage failed.
        untried: those that need the weights of one of them.
    """

    failed: list[str]
    untried: list[str]


def main(argv: list[str]) -> int:
    """Trains the catalogue; returns the exit status."""
    chosen = arguments(argv, Arguments, __doc__ or "")
    from modules.configuration.errors import UserError
    from modules.configuration.names import suggest
    from modules.planning.catalogue_order import choose, read_entries, recipes_of

    if chosen.max_minutes is not None and not 0 < chosen.max_minutes < math.inf:
        raise UserError(f"max_minutes={chosen.max_minutes:g} is no number above 0", "Leave it out for all")
    entries = read_entries()
    families = sorted({entry.family for entry in entries.values()})
    if chosen.family is not None and chosen.family not in families:
        raise UserError(f"conf/recipe has no family {chosen.family!r}", suggest(chosen.family, families))
    if chosen.jobs < 1:
        raise UserError(f"jobs={chosen.jobs} is no number of recipes", "Give 1 or more")
    of_stage = None if chosen.stage is None else recipes_of(chosen.stage, entries)

    from modules.planning.recipe_state import recipe_states
    from modules.planning.repro import Stopped, repro

    try:
        # First, for the states are told by today's plans, and a wrong one stops all.
        if not chosen.dry_run and not repro(["plan"]):
            print("nothing was trained: a plan is wrong", file=sys.stderr)
            return FAILED
        states = recipe_states(entries)
        trained = [name for name, state in states.items() if state == "trained"]
        choice = choose(entries, trained, chosen.family, chosen.max_minutes, of_stage)
        _show(choice, states)
        if chosen.dry_run:
            return 0
        outcome = _train(choice.recipes, states, chosen.jobs)
    except Stopped as stopped:
        print(f"interrupted by {stopped}: the same command goes on where it was", file=sys.stderr)
        return 128 + stopped.signal

    from pipelines import report

    report.main([])
    return _tell(outcome)


def _show(choice: "Choice", states: "dict[str, State]") -> None:
    """Prints a line for each recipe, and what is left in all."""
    rows = [("recipe", "state", "minutes")]
    rows += [(one.name, states[one.name], _minutes(one)) for one in choice.recipes]
    widths = [max(len(row[place]) for row in rows) for place in range(3)]
    for name, state, minutes in rows:
        print(f"{name:<{widths[0]}}  {state:<{widths[1]}}  {minutes:>{widths[2]}}")
    print()
    for names, why in (
        (choice.too_long, "longer than max_minutes, or nobody knows"),
        (choice.wanting, "need one that is left out"),
    ):
        if names:
            print(f"left out, {why}: {', '.join(names)}")
    left = [one for one in choice.recipes if states[one.name] != "trained"]
    known = [one.minutes for one in left if one.minutes is not None]
    unknown = f", and {len(left) - len(known)} of unknown duration" if len(left) > len(known) else ""
    print(
        f"left to train: {len(left)} of {len(choice.recipes)} recipes,"
        f" {sum(known) / 60:.1f} hours of one core for {len(known)}{unknown}",
        flush=True,
    )


def _minutes(entry: "Entry") -> str:
    return "unknown" if entry.minutes is None else f"{entry.minutes:g}"


def _train(recipes: "list[Entry]", states: "dict[str, State]", jobs: int) -> Outcome:
    """Makes all stages of recipes that come in their order.

    Raises:
        Stopped: a signal was received.
    """
    from modules.planning.recipe_state import is_published
    from modules.planning.repro import repro
    from modules.planning.side_by_side import train_side_by_side

    names = {one.name for one in recipes}
    settled: set[str] = set()
    for one in recipes:
        if states[one.name] == "trained" and one.needs & names <= settled:
            settled.add(one.name)
    # All at once what is there already: as a rule there is nothing to do, and DVC looks but once.
    if settled and repro([one.target for one in recipes if one.name in settled]):
        recipes = [one for one in recipes if one.name not in settled]
    outcome = Outcome([], [])
    numbers = {one.name: number for number, one in enumerate(recipes, 1)}

    def begins(one: "Entry") -> bool:
        gone = {*outcome.failed, *outcome.untried}
        if missing := sorted(name for name in one.needs & gone if not is_published(name)):
            print(f"\n{one.name}: needs {', '.join(missing)}, and is not tried", flush=True)
            outcome.untried.append(one.name)
            return False
        print(f"\n{one.name}: {numbers[one.name]} of {len(recipes)}, minutes: {_minutes(one)}", flush=True)
        return True

    def ends(one: "Entry", made: bool) -> None:
        if not made:
            print(f"{one.name} failed; going on", file=sys.stderr, flush=True)
            outcome.failed.append(one.name)

    if jobs > 1 and recipes:
        # What several share is made first, and what all write to, the registry, last.
        if not repro(sorted({f"shard@{one.dataset}" for one in recipes})):
            print("not all shards were packed; going on", file=sys.stderr, flush=True)
        train_side_by_side(recipes, jobs, begins, ends)
        recipes = [one for one in recipes if one.name not in {*outcome.failed, *outcome.untried}]
        if not recipes or repro([one.target for one in recipes]):
            return outcome
    for one in recipes:
        if begins(one):
            ends(one, repro([one.target]))
    return outcome


def _tell(outcome: Outcome) -> int:
    """Names what failed; returns the exit status."""
    if not outcome.failed:
        return 0
    untried = f"; not tried, for they need these: {', '.join(outcome.untried)}" if outcome.untried else ""
    print(f"failed: {', '.join(outcome.failed)}{untried}", file=sys.stderr)
    return FAILED


if __name__ == "__main__":
    run(main)
