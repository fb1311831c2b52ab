"""A sweep from its command line: composed, every key and every shape checked, before anything is started."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modules.configuration.execution import RuntimeSettings, SweepSettings
from modules.sweeps.search import Mode
from modules.sweeps.space import Point, Space


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
    raise NotImplementedError


def set_up_points(points: list[list[str]]) -> Sweep:
    """Makes a sweep of listed points, each given by all its overrides.

    Raises:
        UserError: anything at all that is wrong with them.
    """
    raise NotImplementedError
