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

from modules.configuration.definitions import ROOT
from modules.configuration.errors import UserError
from modules.configuration.execution import RuntimeSettings, SweepSettings
from modules.configuration.identity import WITHOUT_EFFECT, pinned_environment, shard_hashes
from modules.configuration.settings import read
from modules.sweeps.faults import check_intervals, check_keys, check_schedule, check_search, metric_of
from modules.sweeps.points import PointPlans
from modules.sweeps.resources import check_resources
from modules.sweeps.search import Mode, make_search
from modules.sweeps.space import Point, Space, from_points, overrides_of, parse

MAX_CORNERS = 256
"""Of a space whose points are not known before: so many of its corners have their shapes checked."""
MAX_NAMED = 12


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
    base: dict[str, Any]
    overrides: list[str]
    max_epochs: int
    plan_of: Callable[[Point], dict[str, Any]]


def set_up(overrides: list[str]) -> Sweep:
    """Makes a sweep of overrides such as `optimizer.lr=tag(log,interval(1e-4,1e-1))`.

    Raises:
        UserError: anything at all that is wrong with them.
    """
    return _set_up(parse(overrides), overrides)


def set_up_points(points: list[list[str]]) -> Sweep:
    """Makes a sweep of listed points, each given by all its overrides.

    Raises:
        UserError: anything at all that is wrong with them.
    """
    space = from_points(points)
    own = [" ".join(overrides_of(point)) for point in space.points or ()]
    return _set_up(space, [*space.fixed, *own])


def _set_up(space: Space, overrides: list[str]) -> Sweep:
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
    storage = Path(runtime.storage)
    hashes = _check_shards(storage, configs, metric)
    check_resources(runtime)
    parts = {
        "configuration": {key: value for key, value in config.items() if key not in WITHOUT_EFFECT},
        "space": asdict(space) | {"fixed": None},
        "sweep": _with_effect(settings) | {"metric": metric, "mode": mode},
        "code": plans.code(config)["fingerprint"],
        "shards": hashes,
        "environment": pinned_environment(ROOT / "constraints.txt"),
    }
    number = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    return Sweep(
        identity=number,
        folder=storage / "sweeps" / number[:16],
        space=space,
        settings=settings,
        runtime=runtime,
        metric=metric,
        mode=mode,
        base=_check_points(plans, points, settings),
        overrides=overrides,
        max_epochs=config["trainer"]["max_epochs"],
        plan_of=plans.plan,
    )


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
        drawn: Iterable[tuple[str, ...]] = itertools.product(*choices)
    else:
        generator = random.Random(seed)
        drawn = (tuple(map(generator.choice, choices)) for _ in range(MAX_CORNERS))
    return (dict(zip(keys, texts, strict=True)) for texts in drawn)


def _check_shards(
    storage: Path, configs: list[dict[str, Any]], metric: str
) -> dict[str, dict[str, list[str]]]:
    """The hashes of the shards of every dataset in the space."""
    names = dict.fromkeys(config["data"]["name"] for config in configs)
    found = {name: shard_hashes(storage / "data" / "shards" / name) for name in names}
    for name, splits in found.items():
        if metric.startswith("validation/") and not splits.get("validation"):
            raise UserError(
                f"{name} has no validation split, so nothing logs {metric}",
                "Cut one off: splits: {validation: {from: train, fraction: 0.1}}, then shard anew",
            )
    return found


def _with_effect(settings: SweepSettings) -> dict[str, Any]:
    """The settings that decide which points are tried, and how long; one more trial is the same sweep."""
    names = ["search", "scheduler"]
    if settings.search != "grid" or settings.scheduler == "pbt":
        names.append("seed")
    if settings.scheduler == "asha":
        names += ["grace_epochs", "reduction_factor"]
    if settings.scheduler == "pbt":
        names += ["num_trials", "perturb_every_epochs", "quantile"]
    return {name: getattr(settings, name) for name in names}


def _check_points(plans: PointPlans, points: list[Point], settings: SweepSettings) -> dict[str, Any]:
    """The plan of the first point that is possible.

    Raises:
        UserError: some points are impossible and none may be, or all are.
    """
    base: dict[str, Any] | None = None
    impossible: list[tuple[Point, UserError]] = []
    for point in points:
        try:
            plan = plans.plan(point)
        except UserError as error:
            impossible.append((point, error))
        else:
            base = base or plan
    if base is None or (impossible and settings.impossible == "refuse"):
        raise _refusal(impossible, len(points))
    return base


def _refusal(impossible: list[tuple[Point, UserError]], num_points: int) -> UserError:
    (first, error), *others = impossible
    said = f"{' '.join(overrides_of(first)) or 'the point'}: {error.problem}"
    if num_points == 1:
        return UserError(said, error.mend)
    named = "; ".join(" ".join(overrides_of(point)) for point, _ in others[:MAX_NAMED])
    more = f" and {len(others) - MAX_NAMED} more" if len(others) > MAX_NAMED else ""
    also = f"; likewise {named}{more}" if others else ""
    mend = "" if len(impossible) == num_points else "sweep.impossible=skip trains the others"
    return UserError(f"{len(impossible)} of {num_points} points are impossible: {said}{also}", mend)
