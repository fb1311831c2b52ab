"""How a sweep chooses its points: all of a grid, at random, or near the good ones so far.

Each is a state machine without a clock: the same asks and tells in the same order give the same points, so
that a search is restored by playing its ledger back.
"""

import math
import random
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, Protocol

from modules.configuration.schema.execution_settings import SweepSettings
from modules.sweeps.search.search_space import Axis, Point, Space

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler

Mode = Literal["max", "min"]


class Search(Protocol):
    """Gives one point after the other; trials count from 0 in the order in which they were asked for."""

    def ask(self) -> Point | None:
        """The next point; None when the space or `num_trials` is used up."""
        ...

    def tell(self, trial: int, value: float | None) -> None:
        """Says how a trial ended; None where it has no value: it failed, or its point was refused."""
        ...


def make_search(space: Space, settings: SweepSettings, mode: Mode) -> Search:
    """The search that the settings name."""
    if settings.search == "optuna" and space.points is None:
        return TreeParzenSearch(space, settings.num_trials, settings.seed, mode)
    if settings.search == "random" and space.points is None:
        return ListedSearch(random_points(space, settings.seed), settings.num_trials)
    return ListedSearch(space.grid(), settings.num_trials)


class ListedSearch:
    """Points that do not depend on how earlier ones did.

    Args:
        points: in their order.
        num_trials: how many are taken; None = all.
    """

    def __init__(self, points: Iterator[Point], num_trials: int | None) -> None:
        self._points = points
        self._left = num_trials

    def ask(self) -> Point | None:
        if self._left is not None:
            if self._left == 0:
                return None
            self._left -= 1
        return next(self._points, None)

    def tell(self, trial: int, value: float | None) -> None:
        """Nothing depends on it."""


def random_points(space: Space, seed: int) -> Iterator[Point]:
    """Points sampled at random; from a finite space each but once.

    Every axis has a generator of its own: one more axis leaves the others' values as they were.
    """
    generators = [(axis, random.Random(f"{seed} {axis.key}")) for axis in space.axes]
    seen: set[tuple[str, ...]] = set()
    while space.size is None or len(seen) < space.size:
        point = {axis.key: sample(axis, generator) for axis, generator in generators}
        if space.size is None:
            yield point
        elif (values := tuple(point.values())) not in seen:
            seen.add(values)
            yield point


def sample(axis: Axis, generator: random.Random) -> str:
    """A value of an axis, each as likely as any other; of a log interval each order of magnitude."""
    if axis.values is not None:
        return generator.choice(axis.values)
    low, high = axis.interval
    if axis.integer and axis.log:
        low, high = low - 0.5, high + 0.5
    if axis.log:
        return axis.text(math.exp(generator.uniform(math.log(low), math.log(high))))
    return axis.text(generator.randint(int(low), int(high)) if axis.integer else generator.uniform(low, high))


class TreeParzenSearch:
    """Tree-structured Parzen estimator (Bergstra et al. 2011, "Algorithms for hyper-parameter optimization",
    section 4), Optuna's, seeded; a trial that still runs counts as a bad one, so that its place is left.

    Args:
        space: to search.
        num_trials: how many points; None = no end.
        seed: of its samples.
        mode: whether more or less is better.
    """

    def __init__(self, space: Space, num_trials: int | None, seed: int, mode: Mode) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._axes = {axis.key: axis for axis in space.axes}
        self._distributions = {axis.key: _distribution(axis) for axis in space.axes}
        self._num_trials = num_trials
        sampler = _rounding_sampler(self._axes, seed)
        self._study = optuna.create_study(
            sampler=sampler, direction="maximize" if mode == "max" else "minimize"
        )
        self._asked: list[Any] = []

    def ask(self) -> Point | None:
        if self._num_trials is not None and len(self._asked) >= self._num_trials:
            return None
        trial = self._study.ask(self._distributions)
        self._asked.append(trial)
        texts = ((axis, trial.params[key]) for key, axis in self._axes.items())
        return {axis.key: value if axis.values is not None else axis.text(value) for axis, value in texts}

    def tell(self, trial: int, value: float | None) -> None:
        from optuna.trial import TrialState

        if value is None or not math.isfinite(value):
            self._study.tell(self._asked[trial], state=TrialState.FAIL)
        else:
            self._study.tell(self._asked[trial], value)


def _distribution(axis: Axis) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if axis.values is not None:
        return CategoricalDistribution(axis.values)
    low, high = axis.interval
    if axis.integer:
        return IntDistribution(int(low), int(high), log=axis.log)
    return FloatDistribution(low, high, log=axis.log)


def _rounding_sampler(axes: dict[str, Axis], seed: int) -> "BaseSampler":
    from optuna.samplers import TPESampler

    def rounded(key: str, value: Any) -> Any:
        return value if axes[key].values is not None else axes[key].rounded(value)

    class RoundingSampler(TPESampler):
        """Samples the numbers that the trials are really given."""

        def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
            sampled = super().sample_relative(study, trial, search_space)
            return {key: rounded(key, value) for key, value in sampled.items()}

        def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
            sampled = super().sample_independent(study, trial, param_name, param_distribution)
            return rounded(param_name, sampled)

    return RoundingSampler(seed=seed)
