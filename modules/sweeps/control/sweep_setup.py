"""A sweep from its command line: composed, every key and every shape checked, before anything is started."""

import hashlib
import itertools
import json
import math
import random
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from modules.configuration.errors import UserError
from modules.configuration.plans.identity import WITHOUT_EFFECT, pinned_environment, shard_hashes
from modules.configuration.plans.run_plan import Plan, Pretrained
from modules.configuration.schema.data_settings import DataSettings
from modules.configuration.schema.execution_settings import RuntimeSettings, SweepSettings
from modules.configuration.schema.phases import trainings
from modules.configuration.schema.settings import read
from modules.configuration.static_analysis.code_fingerprint import code_fingerprint
from modules.configuration.static_analysis.definitions import ROOT
from modules.sweeps.control.resources import check_resources
from modules.sweeps.control.sweep_checks import (
    check_intervals,
    check_keys,
    check_schedule,
    check_search,
    metric_of,
)
from modules.sweeps.search.point_plans import PointPlans
from modules.sweeps.search.search_algorithms import Mode, make_search
from modules.sweeps.search.search_space import Point, Space, from_points, overrides_of, parse

MAX_CORNERS = 256
"""Of a space whose points are not known before: so many of its corners have their shapes checked."""
MAX_NAMED = 12
CHOOSING = (
    "modules.sweeps.search.search_space",
    "modules.sweeps.search.search_algorithms",
    "modules.sweeps.schedulers.scheduler",
    "modules.sweeps.schedulers.decisions",
    "modules.sweeps.schedulers.asha",
    "modules.sweeps.schedulers.pbt",
)
"""The modules that choose points and stop trials."""


@dataclass(frozen=True)
class Sweep:
    """A sweep whose checks are behind it.

    Attributes:
        identity: 64 hexadecimal digits: of configuration, space, settings, code, shards and environment.
        folder: `<storage>/sweeps/<first 16 of identity>`.
        space: what it varies.
        settings: how it searches.
        runtime: where it runs.
        metric: what is compared, such as "validation/accuracy".
        mode: whether more or less of it is better.
        base: the plan of the first point that is possible.
        overrides: as given.
        max_epochs: of every trial.
        plan_of: the plan of a point; raises UserError for an impossible one.
    """

    identity: str
    folder: Path
    space: Space
    settings: SweepSettings
    runtime: RuntimeSettings
    metric: str
    mode: Mode
    base: Plan
    overrides: list[str]
    max_epochs: int
    plan_of: Callable[[Point], Plan]


@dataclass(frozen=True)
class Draft:
    """A sweep whose every key is checked; no torch was imported, no shard looked at.

    Attributes:
        plans: of its points.
        config: of its first point.
        points: those that are known beforehand; of a search that learns, corners of the space.
        configs: of these points.
        search: what its results depend on besides shards, as plain values; DVC compares it.
        metric, mode, space, settings, runtime, overrides: as in `Sweep`.
    """

    plans: PointPlans
    config: dict[str, Any]
    points: list[Point]
    configs: list[dict[str, Any]]
    search: dict[str, Any]
    metric: str
    mode: Mode
    space: Space
    settings: SweepSettings
    runtime: RuntimeSettings
    overrides: list[str]


def set_up(overrides: list[str]) -> Sweep:
    """Makes a sweep of overrides such as `optimizer.lr=tag(log,interval(1e-4,1e-1))`.

    Raises:
        UserError: anything at all that is wrong with them.
    """
    return complete(draft(overrides))


def set_up_points(points: list[list[str]]) -> Sweep:
    """Makes a sweep of listed points, each given by all its overrides.

    Raises:
        UserError: anything at all that is wrong with them.
    """
    space = from_points(points)
    own = [" ".join(overrides_of(point)) for point in space.points or ()]
    return complete(_draft(space, [*space.fixed, *own]))


def draft(overrides: list[str]) -> Draft:
    """Composes a sweep and checks its keys; the first half of `set_up`.

    Raises:
        UserError: naming the override, key or setting at fault.
    """
    return _draft(parse(overrides), overrides)


def _draft(space: Space, overrides: list[str]) -> Draft:
    plans = PointPlans(space)
    check_keys(space)
    # What an interval must not stand for is seen without it.
    check_intervals(space, plans.configuration(_first(space, intervals=False)))
    config = plans.configuration(_first(space))
    settings = read(SweepSettings, config["sweep"], "sweep")
    runtime = read(RuntimeSettings, config["runtime"], "runtime")
    check_search(space, settings)
    points = list(_known_points(space, settings))
    # All are composed first: a key that is wrong is told at once, shapes take their time.
    configs = [plans.configuration(point) for point in points]
    metric, mode = metric_of(config, configs, settings)
    check_schedule(space, settings, configs, mode)
    choices = plans.choices()
    trained = [training for choice in choices for training in trainings(choice)]
    codes = sorted({plans.code(training).fingerprint for training in trained})
    search = {
        "configurations": [_with_effect(choice) for choice in choices],
        "space": {"axes": [asdict(axis) for axis in space.axes], "points": space.points},
        "sweep": settings.with_effect() | {"metric": metric, "mode": mode},
        "code": {"training": codes, "sweeping": _sweeping_code()},
        "environment": pinned_environment(ROOT / "constraints.txt"),
    }
    return Draft(plans, config, points, configs, search, metric, mode, space, settings, runtime, overrides)


def complete(drafted: Draft) -> Sweep:
    """Looks at shards, machine and shapes; the second half of `set_up`.

    Raises:
        UserError: a point is impossible, or something that it needs is not there.
    """
    runtime, settings = drafted.runtime, drafted.settings
    storage = Path(runtime.storage)
    parts = drafted.search | {"shards": _check_shards(storage, drafted.configs, drafted.metric)}
    pretrained_of = _PretrainedFiles(storage)
    begin = [pretrained_of.found(config) for config in drafted.configs]
    if any(begin):
        parts["pretrained"] = [one and [one.weights_sha256, one.teacher_answers_sha256] for one in begin]
    check_resources(runtime)
    number = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    return Sweep(
        identity=number,
        folder=storage / "sweeps" / number[:16],
        space=drafted.space,
        settings=settings,
        runtime=runtime,
        metric=drafted.metric,
        mode=drafted.mode,
        base=check_points(drafted),
        overrides=drafted.overrides,
        max_epochs=drafted.config["trainer"]["max_epochs"],
        plan_of=lambda point: pretrained_of.added_to(drafted.plans.plan(point)),
    )


class _PretrainedFiles:
    """What trials begin from, looked up once a sweep: an alias may move while it runs."""

    def __init__(self, storage: Path) -> None:
        self._storage = storage.absolute()
        self._found: dict[str, Pretrained] = {}

    def added_to(self, plan: Plan) -> Plan:
        """The plan with the files that it begins from."""
        found = self.found(plan.configuration)
        return plan if found is None else plan.with_pretrained(found)

    def found(self, config: dict[str, Any]) -> Pretrained | None:
        """What a configuration begins from; None where it names nothing."""
        if not config["init_from"] and not config["teacher"]:
            return None
        asked = json.dumps([config["init_from"], config["teacher"], config["data"]], sort_keys=True)
        if asked not in self._found:
            from modules.registry.pretrained import find_pretrained

            shards = self._storage / "data" / "shards" / config["data"]["name"]
            self._found[asked] = find_pretrained(config, shards)
        return self._found[asked]


def as_plain(search: dict[str, Any]) -> dict[str, Any]:
    """As it comes back from a file."""
    return json.loads(json.dumps(search))


def _first(space: Space, intervals: bool = True) -> Point:
    if space.points is not None:
        return space.points[0]
    return {axis.key: (axis.values or axis.ends)[0] for axis in space.axes if intervals or axis.values}


def _known_points(space: Space, settings: SweepSettings) -> Iterable[Point]:
    """The points that will be tried; of a search that learns, corners of the space."""
    if settings.search == "optuna" and space.points is None:
        return _corners(space, settings.seed)
    search = make_search(space, settings, "max")
    return iter(search.ask, None)


def _corners(space: Space, seed: int) -> Iterable[Point]:
    keys = [axis.key for axis in space.axes]
    choices = [axis.ends if axis.values is None or axis.is_real else axis.values for axis in space.axes]
    if math.prod(map(len, choices)) <= MAX_CORNERS:
        corners: Iterable[tuple[str, ...]] = itertools.product(*choices)
    else:
        generator = random.Random(seed)
        corners = (tuple(map(generator.choice, choices)) for _ in range(MAX_CORNERS))
    return (dict(zip(keys, texts, strict=True)) for texts in corners)


def _check_shards(
    storage: Path, configs: list[dict[str, Any]], metric: str
) -> dict[str, dict[str, list[str]]]:
    """The hashes of the shards of every dataset in the space."""
    # One folder holds one making of a dataset: points that ask for several cannot be compared.
    datas = {json.dumps(config["data"], sort_keys=True): config["data"] for config in configs}
    found = {
        data["name"]: shard_hashes(
            storage / "data" / "shards" / data["name"], read(DataSettings, data, "data")
        )
        for data in datas.values()
    }
    for name, splits in found.items():
        if metric.startswith("validation/") and not splits.get("validation"):
            raise UserError(
                f"{name} has no validation split, so nothing logs {metric}",
                "Cut one off: splits: {validation: {from: train, fraction: 0.1}}, then shard again",
            )
    return found


def _with_effect(config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in WITHOUT_EFFECT}


def _sweeping_code() -> dict[str, str]:
    """What chooses the points and stops them: under other code a ledger would be played back otherwise."""
    files = code_fingerprint(list(CHOOSING))["files"]
    paths = [f"{name.replace('.', '/')}.py" for name in CHOOSING]
    return {path: files[path] for path in paths}


def check_points(drafted: Draft) -> Plan:
    """Checks the shapes of all known points, and gives the plan of the first that is possible.

    Raises:
        UserError: some points are impossible and none may be, or all are.
    """
    base: Plan | None = None
    impossible: list[tuple[Point, UserError]] = []
    for point in drafted.points:
        try:
            plan = drafted.plans.plan(point)
        except UserError as error:
            impossible.append((point, error))
        else:
            base = base or plan
    if base is None or (impossible and drafted.settings.impossible == "refuse"):
        raise _refusal(impossible, len(drafted.points))
    return base


def _refusal(impossible: list[tuple[Point, UserError]], num_points: int) -> UserError:
    (first, error), *others = impossible
    said = f"{' '.join(overrides_of(first)) or 'the point'}: {error.problem}"
    if num_points == 1:
        return UserError(said, error.hint)
    named = "; ".join(" ".join(overrides_of(point)) for point, _ in others[:MAX_NAMED])
    more = f" and {len(others) - MAX_NAMED} more" if len(others) > MAX_NAMED else ""
    also = f"; likewise {named}{more}" if others else ""
    hint = "" if len(impossible) == num_points else "sweep.impossible=skip trains the others"
    return UserError(f"{len(impossible)} of {num_points} points are impossible: {said}{also}", hint)
