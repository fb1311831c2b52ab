"""Plans of the points of a space: composed fast, shapes checked once for all points that share them.

A point is composed from a copy of what its choice of files gives, not by Hydra from the start. Its shapes are
known already if another point has the same data, model, task and batch. Numbers such as a learning rate or a
dropout seldom reach a shape: where a network has the same shapes at both ends of all of them, it is taken to
have these in between.
"""

import json
from itertools import product
from typing import TYPE_CHECKING, Any

from modules.configuration.composition.compose import compose, resolve
from modules.configuration.composition.hydra_errors import HYDRA_ERRORS
from modules.configuration.composition.hydra_loader import changed, key_locations, load, packed
from modules.configuration.composition.key_locations import CONF
from modules.configuration.errors import UserError
from modules.configuration.plans.run_plan import Code, Plan
from modules.configuration.schema.phases import trainings
from modules.shapes.make_plan import named_targets, training_code, with_costs
from modules.sweeps.search.search_space import Point, Space, overrides_of

if TYPE_CHECKING:
    from modules.shapes.shape_check import ShapeReport

SHAPED = ("data", "recipe", "model", "task", "optimizer", "trainer", "fine_tuning", "phases")
"""The sections that a shape may depend on."""


class PointPlans:
    """
    Args:
        space: whose points are composed.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._configurations: dict[tuple[tuple[str, str], ...], dict[str, Any]] = {}
        self._loaded: dict[tuple[str, ...], bytes] = {}
        self._codes: dict[str, Code] = {}
        self._reports: dict[str, ShapeReport | UserError] = {}
        self._of_phases: dict[str, dict[str, ShapeReport]] = {}
        self._families: dict[tuple[str | None, ...], ShapeReport | None] = {}
        axes = [axis for axis in space.varied() if section(axis.key) in SHAPED]
        self._numbers = [axis for axis in axes if axis.is_real]
        self._others = [axis for axis in axes if not axis.is_real]

    def configuration(self, point: Point) -> dict[str, Any]:
        """The resolved configuration of a point, every key of it checked.

        Raises:
            UserError: naming the override, file or key at fault.
        """
        known = tuple(point.items())
        if known not in self._configurations:
            self._configurations[known] = self._compose(point)
        return self._configurations[known]

    def _compose(self, point: Point) -> dict[str, Any]:
        own = overrides_of(point)
        overrides = [*self._space.fixed, *own]
        choices = tuple(override for override in own if is_choice(override))
        try:
            if choices not in self._loaded:
                self._loaded[choices] = packed(load([*self._space.fixed, *choices], CONF))
            values = [override for override in own if override not in choices]
            return resolve(changed(self._loaded[choices], values), overrides)
        except HYDRA_ERRORS:
            # The same fault from Hydra's own composition, which knows how to explain it.
            return compose(overrides)

    def choices(self) -> list[dict[str, Any]]:
        """A configuration for each choice of files in the space."""
        if self._space.points is not None:
            by_files = {tuple(filter(is_choice, overrides_of(point))): point for point in self._space.points}
            return list(map(self.configuration, by_files.values()))
        first = {axis.key: (axis.values or axis.ends)[0] for axis in self._space.axes}
        files = [axis for axis in self._space.axes if is_choice(axis.key)]
        chosen = product(*(axis.values or () for axis in files))
        keys = [axis.key for axis in files]
        return [self.configuration(first | dict(zip(keys, texts, strict=True))) for texts in chosen]

    def file_choices(self) -> list[tuple[str, ...]]:
        """Each choice of files that points were composed with."""
        return list(self._loaded)

    def code_files(self) -> dict[str, str]:
        """The hashes of all code that decides a result of a point, by path."""
        return {path: digest for code in self._codes.values() for path, digest in code.files.items()}

    def plan(self, point: Point) -> Plan:
        """The plan of a point.

        Raises:
            UserError: it is impossible.
        """
        config = self.configuration(point)
        report = self._family(point) or self._report(point)
        return with_costs(config, report, self._phases(point), self.code)

    def code(self, config: dict[str, Any]) -> Code:
        """What `training_code` says of a configuration."""
        targets = " ".join(named_targets(config))
        if targets not in self._codes:
            self._codes[targets] = training_code(config)
        return self._codes[targets]

    def _family(self, point: Point) -> "ShapeReport | None":
        """The shapes of all points that differ in real numbers alone; None if they may not be the same."""
        if not self._numbers or self._key(self.configuration(point)) in self._reports:
            return None
        family = tuple(point.get(axis.key) for axis in self._others)
        if family not in self._families:
            corners = [point | {axis.key: axis.ends[end] for axis in self._numbers} for end in (0, -1)]
            try:
                low, high = map(self._report, corners)
                self._families[family] = high if (low.rows, low.edges) == (high.rows, high.edges) else None
            except UserError:
                self._families[family] = None
        return self._families[family]

    def _report(self, point: Point) -> "ShapeReport":
        """The shapes of a point itself, traced once for all points that share what they depend on."""
        from modules.shapes.shape_check import check_shapes

        config = self.configuration(point)
        key = self._key(config)
        if key not in self._reports:
            overrides = [*self._space.fixed, *overrides_of(point)]
            try:
                self._reports[key] = check_shapes(config, key_locations(overrides, CONF))
            except UserError as error:
                self._reports[key] = error
        found = self._reports[key]
        if isinstance(found, UserError):
            raise UserError(found.problem, found.hint) from found
        return found

    def _phases(self, point: Point) -> "dict[str, ShapeReport]":
        """The shapes of a point's phases, traced once for all points with the same phases."""
        from modules.shapes.shape_check import check_phases

        config = self.configuration(point)
        if not config["phases"]:
            return {}
        key = " ".join(map(self._key, trainings(config)))
        if key not in self._of_phases:
            self._of_phases[key] = check_phases(
                config, key_locations([*self._space.fixed, *overrides_of(point)], CONF)
            )
        return self._of_phases[key]

    def _key(self, config: dict[str, Any]) -> str:
        trainer = {key: config["trainer"][key] for key in ("batch_size", "precision")}
        read = [
            config["data"]["fields"],
            *(config[section] for section in ("model", "task", "fine_tuning")),
            # An optimiser's numbers say whether it keeps something (a momentum), not how much.
            _whether(config["optimizer"]),
            bool(config["teacher"]),
        ]
        return json.dumps([*read, trainer], sort_keys=True)


def is_choice(override: str) -> bool:
    """Whether an override chooses a file of a group."""
    return (CONF / override.lstrip("+~").partition("=")[0].partition("@")[0]).is_dir()


def section(key: str) -> str:
    """The part of the configuration that an override is for."""
    return key.lstrip("+~").partition("@")[0].partition(".")[0]


def _whether(value: Any) -> Any:
    """With each real number replaced by whether it is not zero."""
    if isinstance(value, dict):
        return {key: _whether(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whether(item) for item in value]
    return value != 0 if isinstance(value, float) else value
