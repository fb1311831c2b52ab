"""Turns a broken network into one line: which brick, which key, both shapes, and the value that would fit.

The advice is never a guess. Each integer of the model's and the task's configuration is changed in turn to
values near it and to the sizes that met where the network broke, and the check runs again on the meta device;
only what makes the whole network fit is offered.
"""

import importlib
import inspect
import re
import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from itertools import count
from math import log
from typing import Any

from modules.configuration.composition.key_locations import COMMAND_LINE, KeyLocations
from modules.configuration.errors import UserError
from modules.configuration.names import nearest
from modules.shapes.shape_failure import FAULTS, Failure
from modules.shapes.symbolic import run

_SECTIONS = ("model", "task")
# Up to here a size is a kernel, a stride, a number of layers: its neighbours are worth a try.
_SMALL = 32
_NEAR = 4
_FEW_ROUNDS = 8
_SEARCH_S = 4.0

Key = tuple[str | int, ...]
Sizes = int | list[int]


class ShapeError(UserError):
    """Sizes in a network do not agree.

    Attributes:
        key: the configuration key to change; empty where no single one fixes it.
    """

    def __init__(self, problem: str, hint: str, key: str = "") -> None:
        super().__init__(problem, hint)
        self.key = key


@dataclass(frozen=True)
class Setting:
    """A size in the configuration.

    Attributes:
        key: its place.
        value: what it is.
        is_default: whether the configuration leaves it to the constructor.
    """

    key: Key
    value: Sizes
    is_default: bool = False

    def __str__(self) -> str:
        return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.key)[1:]


@dataclass(frozen=True)
class Trial:
    """What comes of another value for a setting: `failure` is what still does not fit, None where all does.

    `touches` says whether it changes the brick that failed at first.
    """

    setting: Setting
    value: Sizes
    failure: Failure | None
    touches: bool


def explain(config: dict[str, Any], failure: Failure, locations: KeyLocations | None = None) -> ShapeError:
    """The error that a user is shown for `failure`.

    Args:
        config: the resolved configuration that failed.
        failure: where and how.
        locations: the files and overrides it was composed of, to name the place of a key.
    """
    if choice := re.fullmatch(r"\w+='(.*)' is none of (.+)", failure.message):
        # A word, and no size would help.
        near = nearest(choice[1], choice[2].split(", "))
        return ShapeError(str(failure), f"Did you mean {near}?" if near else "Name one of these")
    trials = list(_trials(config, failure, locations))
    fitting = [trial for trial in trials if trial.failure is None]
    if fitting:
        best = min(fitting, key=lambda trial: _rank(trial, locations))
        hint = f"With {_written(config, best, locations)} the whole network fits (tried)"
    else:
        furthest = max((t.failure.progress for t in trials if t.failure), default=failure.progress)
        if furthest <= failure.progress:
            return ShapeError(
                str(failure), f"None of {len(trials)} changes of one size in model or task fixes it"
            )
        further = [trial for trial in trials if trial.failure and trial.failure.progress == furthest]
        best = min(further, key=lambda trial: _rank(trial, locations))
        hint = (
            f"With {_written(config, best, locations)} it gets further, then {best.failure}: "
            "more than one size is wrong"
        )
    name = _name(best.setting, locations)
    return ShapeError(f"{failure}; {name}={best.setting.value} {_place(best.setting, locations)}", hint, name)


def _trials(config: dict[str, Any], failure: Failure, locations: KeyLocations | None) -> Iterator[Trial]:
    """Tries other values for the settings nearest to the user's hand, then for those further off."""
    stop = time.monotonic() + _SEARCH_S
    order: dict[int, list[Setting]] = {}
    for setting in [*_settings(config), *_defaults(config)]:
        order.setdefault(_distance(setting, locations), []).append(setting)
    for distance in sorted(order):
        found = False
        for trial in _rounds(config, failure, order[distance]):
            found = found or trial.failure is None
            yield trial
            if time.monotonic() > stop:
                return
        if found:
            return


def _rounds(config: dict[str, Any], failure: Failure, settings: list[Setting]) -> Iterator[Trial]:
    """Tries one value of each setting a round, nearest values first, until each has one that fits.

    After the first that fits the others have as many rounds again, and a few, to find theirs.
    """
    waiting = [(setting, iter(_candidates(config, setting.value, failure))) for setting in settings]
    last_round = None
    for number in count():
        if not waiting or number == last_round:
            return
        for setting, values in list(waiting):
            value = next(values, None)
            trial = None if value is None else _try(config, setting, value, failure)
            if trial is not None:
                yield trial
            if trial is None or trial.failure is None:
                waiting = [(other, rest) for other, rest in waiting if other is not setting]
            if trial is not None and trial.failure is None:
                last_round = last_round or 2 * number + _FEW_ROUNDS


def _try(config: dict[str, Any], setting: Setting, value: Sizes, failure: Failure) -> Trial:
    try:
        task = run(_changed(config, setting.key, value)).task
    except Failure as still:
        return Trial(setting, value, still, False)
    except (UserError, *FAULTS) as error:
        return Trial(setting, value, Failure("", message=str(error)), False)
    if not failure.path:
        return Trial(setting, value, None, str(setting.key[-1]) in failure.message)
    modules = dict(task.named_modules())
    return Trial(setting, value, None, repr(modules.get(failure.path)) != failure.layout)


def _settings(config: dict[str, Any]) -> Iterator[Setting]:
    """Every integer and every list of integers in the model and the task."""

    def walk(key: Key, value: Any) -> Iterator[Setting]:
        if isinstance(value, int) and not isinstance(value, bool):
            yield Setting(key, value)
        elif isinstance(value, dict):
            for name, item in value.items():
                yield from walk((*key, name), item)
        elif isinstance(value, list):
            if value and all(type(item) is int for item in value):
                yield Setting(key, value)
            for number, item in enumerate(value):
                yield from walk((*key, number), item)

    for section in _SECTIONS:
        yield from walk((section,), config[section])


def _defaults(config: dict[str, Any]) -> Iterator[Setting]:
    """The sizes that the model's constructor sets where the configuration does not."""
    module, _, name = config["model"]["_target_"].rpartition(".")
    for parameter in inspect.signature(getattr(importlib.import_module(module), name)).parameters.values():
        default = list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default
        if parameter.name not in config["model"] and (type(default) is int or isinstance(default, list)):
            key = ("model", parameter.name)
            yield Setting(key, default, is_default=True)


def _candidates(config: dict[str, Any], value: Sizes, failure: Failure) -> list[Sizes]:
    """Other values for a setting, the smallest change first."""
    if isinstance(value, list):
        shapes = [list(field["shape"]) for field in config["data"]["fields"].values()]
        return [shape for shape in shapes if len(shape) == len(value) and shape != value]
    numbers = failure.numbers
    found = {*range(value + _NEAR + 1 if value <= _SMALL else 0), *numbers}
    found |= {value * one // other for one in numbers for other in numbers if value * one % other == 0}
    return sorted(
        (new for new in found if new > 0 and new != value), key=lambda new: (_change(value, new), new)
    )


def _sizes(value: Sizes) -> list[int]:
    return value if isinstance(value, list) else [value]


def _change(old: Sizes, new: Sizes) -> float:
    pairs = zip(_sizes(old), _sizes(new), strict=True)
    return sum(abs(log((abs(after) + 1) / (abs(before) + 1))) for before, after in pairs)


def _rank(trial: Trial, locations: KeyLocations | None) -> tuple:
    """What the user set last comes first, then what concerns the broken brick, then the smallest change."""
    setting = trial.setting
    return _distance(setting, locations), not trial.touches, _change(setting.value, trial.value)


def _distance(setting: Setting, locations: KeyLocations | None) -> int:
    """How far from the user's own hand a setting was made."""
    place = _place(setting, locations)
    return 0 if COMMAND_LINE in place else 1 if "conf/recipe/" in place else 3 if setting.is_default else 2


def _name(setting: Setting, locations: KeyLocations | None) -> str:
    return str(setting) if locations is None else locations.override_of(str(setting))


def _place(setting: Setting, locations: KeyLocations | None) -> str:
    if setting.is_default:
        return "is the default of the model's constructor"
    if locations is None:
        return "is what does not fit"
    place = locations.of(str(setting))
    return f"is set on the {COMMAND_LINE}" if place.startswith(COMMAND_LINE) else f"is set in {place}"


def _changed(config: dict[str, Any], key: Key, value: Sizes) -> dict[str, Any]:
    """A copy of the configuration with one value changed."""
    changed = {**config, **{section: deepcopy(config[section]) for section in _SECTIONS}}
    place: Any = changed
    for part in key[:-1]:
        place = place[part]
    place[key[-1]] = value
    return changed


def _written(config: dict[str, Any], trial: Trial, locations: KeyLocations | None) -> str:
    """The change as an override, or as a line of YAML where an override cannot reach into a list of nodes."""
    *parents, last = trial.setting.key
    if isinstance(last, int):
        owner: Any = _changed(config, trial.setting.key, trial.value)
        for part in parents:
            owner = owner[part]
        trial = Trial(Setting(tuple(parents), []), list(owner), None, False)
    text = str(trial.value).replace(" ", "")
    if any(isinstance(part, int) for part in trial.setting.key):
        return f"`{trial.setting.key[-1]}: {text}`"
    return f"{_name(trial.setting, locations)}={text}"
