"""In which order the whole catalogue is trained, and what of it: from conf/ alone, without composing it."""

import heapq
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from modules.configuration.bounded_yaml import read_bounded
from modules.configuration.composition.conf_contents import HINT
from modules.configuration.composition.key_locations import CONF, shown
from modules.configuration.composition.recipes import recipe_files
from modules.configuration.errors import ConfigError, UserError
from modules.configuration.names import suggest
from modules.configuration.schema.expected_settings import ExpectedSettings
from modules.configuration.schema.settings import read
from modules.configuration.yaml_files import read_yaml

_TRAINED = "build/train/"
_FAST: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Entry:
    """A recipe of the catalogue.

    Attributes:
        name: of the recipe.
        family: the folder of conf/recipe that it lies in.
        needs: recipes whose trained weights its training begins from or learns from, or its evaluation asks.
        minutes: that its training takes, about, of one core; None where nobody knows.
        serves: whether it can be registered.
        dataset: on whose shards it is trained.
    """

    name: str
    family: str
    needs: frozenset[str] = frozenset()
    minutes: float | None = None
    serves: bool = False
    dataset: str = ""

    @property
    def target(self) -> str:
        """The last stage of the recipe."""
        return f"{'promote' if self.serves else 'evaluate'}@{self.name}"


@dataclass(frozen=True)
class Choice:
    """What of a catalogue is trained.

    Attributes:
        recipes: in their order.
        too_long: those left out for their duration, which may be unknown.
        wanting: those left out because they need one of these.
    """

    recipes: list[Entry]
    too_long: list[str]
    wanting: list[str]


def read_entries(conf: Path = CONF) -> dict[str, Entry]:
    """Every recipe by its name.

    Raises:
        UserError: conf/catalogue.yaml is not there or is of other recipes, or what one expects is wrong.
    """
    files = recipe_files(conf)
    path = conf / "catalogue.yaml"
    catalogue = read_yaml(path) if path.is_file() else {}
    recipes = catalogue.get("recipes", {})
    if recipes.keys() != files.keys():
        raise UserError(f"{shown(path)} does not show what conf/ holds", HINT)
    return {
        name: Entry(
            name=name,
            family=file.parent.name,
            needs=frozenset(_trained_by(recipes[name][key]) for key in ("upstream", "asks")) - {""},
            minutes=_minutes(file),
            serves=name in catalogue["served"],
            dataset=recipes[name]["dataset"],
        )
        for name, file in files.items()
    }


def recipes_of(stage: str, entries: Collection[str], pipeline: Path = Path("dvc.yaml")) -> set[str]:
    """The recipes whose results a stage of the pipeline takes.

    Args:
        stage: of it.
        entries: the names of all recipes.
        pipeline: DVC's file.

    Raises:
        UserError: it has no such stage, or that takes the results of none.
    """
    stages = read_yaml(pipeline)["stages"]
    if stage not in stages:
        raise UserError(f"{pipeline} has no stage {stage!r}", suggest(stage, sorted(stages)))
    paths = [Path(path).with_suffix("") for path in stages[stage].get("deps", [])]
    if not (found := {path.name for path in paths if path.parent.parent.name == "build"} & set(entries)):
        raise UserError(f"the stage {stage!r} takes the results of no recipe", "Name another, such as report")
    return found


def choose(
    entries: Mapping[str, Entry],
    trained: Collection[str],
    family: str | None = None,
    max_minutes: float | None = None,
    recipes: Collection[str] | None = None,
) -> Choice:
    """What is trained, in the order of dependence, and where that leaves a choice the shortest first.

    Args:
        entries: the catalogue.
        trained: recipes that are: they may be needed, whatever their training took.
        family: whose recipes are wanted, with what they need of other families; None for all.
        max_minutes: recipes that take longer, or nobody knows how long, are left out; None for none.
        recipes: that are wanted, of those of the family; None for all.

    Raises:
        UserError: recipes need each other in a circle.
    """
    wanted = {
        name
        for name, entry in entries.items()
        if family in (None, entry.family) and (recipes is None or name in recipes)
    }
    pending = list(wanted)
    while pending:
        needed = entries[pending.pop()].needs & entries.keys() - wanted
        wanted |= needed
        pending += needed
    chosen, too_long, wanting = [], [], []
    gone: set[str] = set()
    for entry in in_order([entries[name] for name in wanted]):
        if max_minutes is not None and not (entry.minutes or math.inf) <= max_minutes:
            too_long.append(entry.name)
        elif entry.needs & gone:
            wanting.append(entry.name)
        else:
            chosen.append(entry)
            continue
        if entry.name not in trained:
            gone.add(entry.name)
    return Choice(chosen, too_long, wanting)


def in_order(entries: Collection[Entry]) -> list[Entry]:
    """Recipes after all that they need; of those that could be next the shortest, those of unknown duration
    last.

    Raises:
        UserError: some need each other in a circle.
    """
    by_name = {entry.name: entry for entry in entries}
    left = {name: set(entry.needs & by_name.keys()) for name, entry in by_name.items()}
    ready = [_rank(by_name[name]) for name, needs in left.items() if not needs]
    heapq.heapify(ready)
    ordered: list[Entry] = []
    while ready:
        _, name = heapq.heappop(ready)
        ordered.append(by_name[name])
        for other, needs in left.items():
            if name in needs:
                needs.remove(name)
                if not needs:
                    heapq.heappush(ready, _rank(by_name[other]))
    if circle := sorted(by_name.keys() - {entry.name for entry in ordered}):
        raise UserError(
            f"{', '.join(circle)} need each other in a circle", "Let one begin from something else"
        )
    return ordered


def _rank(entry: Entry) -> tuple[float, str]:
    return entry.minutes or math.inf, entry.name


def _trained_by(folder: str) -> str:
    """The recipe that trains a folder; empty where none does."""
    return Path(folder).parts[2] if folder.startswith(_TRAINED) else ""


def _minutes(file: Path) -> float | None:
    """What a recipe's file says of its duration."""
    try:
        expected = yaml.load(read_bounded(file), Loader=_FAST).get("expected")
        return None if expected is None else read(ExpectedSettings, expected, "expected").minutes
    except ConfigError as fault:
        raise fault.at(shown(file)) from None
    except (OSError, ValueError, AttributeError, yaml.YAMLError) as error:
        raise UserError(f"{shown(file)} cannot be read: {' '.join(str(error).split())}") from error
