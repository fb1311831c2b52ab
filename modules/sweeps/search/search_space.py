"""The space of a sweep, read from Hydra's own override syntax.

optimizer=sgd,adamw  model.num_filters=[8,16],[16,32]  seed=range(3)  model=glob(feedforward/*)
optimizer.lr=tag(log,interval(1e-4,1e-1))  model.kernel_size=int(interval(3,7))

A *point* gives each axis one value as override text: {"optimizer.lr": "0.0031"}. A number sampled from an
interval is written with six significant digits, and means just what is written.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from modules.configuration.errors import UserError

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

Point = dict[str, str]


@dataclass(frozen=True)
class Axis:
    """One key that differs from point to point: listed values, or an interval.

    Attributes:
        key: as on the command line: "optimizer.lr", "+task.label_smoothing", or a group such as "optimizer".
        values: as override text; None for an interval.
        low: least value of an interval.
        high: greatest value of an interval.
        log: whether the interval is sampled from by its logarithm.
        integer: whether the interval holds whole numbers alone.
    """

    key: str
    values: tuple[str, ...] | None = None
    low: float | None = None
    high: float | None = None
    log: bool = False
    integer: bool = False

    @property
    def interval(self) -> tuple[float, float]:
        assert self.low is not None and self.high is not None
        return self.low, self.high

    @property
    def ends(self) -> tuple[str, ...]:
        """The least and the greatest number, or all listed values where they are no numbers."""
        if self.values is None:
            return tuple(map(self.text, self.interval))
        if all(map(_is_number, self.values)):
            return min(self.values, key=float), max(self.values, key=float)
        return self.values

    @property
    def is_real(self) -> bool:
        """Whether it holds real numbers, not whole ones alone."""
        if self.values is None:
            return not self.integer
        return all(map(_is_number, self.values)) and not all(map(_is_whole, self.values))

    def rounded(self, value: float) -> float:
        """The number that `text` writes: six significant digits, inside the interval."""
        low, high = self.interval
        near = round(value) if self.integer else float(f"{value:.6g}")
        return min(max(near, low), high)

    def text(self, value: float) -> str:
        """A number of the interval as override text."""
        inside = self.rounded(value)
        return (
            str(int(inside))
            if self.integer
            else f"{inside:.6g}"
            if inside not in self.interval
            else f"{inside!r}"
        )


@dataclass(frozen=True)
class Space:
    """What a sweep varies, and what it leaves fixed.

    Attributes:
        axes: in the order in which they were given; the last one varies fastest.
        fixed: the other overrides.
        points: the points themselves where they were listed, instead of axes.
    """

    axes: tuple[Axis, ...]
    fixed: tuple[str, ...]
    points: tuple[Point, ...] | None = None

    @property
    def size(self) -> int | None:
        """The number of points; None where there is no end of them."""
        if self.points is not None:
            return len(self.points)
        lengths = [None if axis.values is None else len(axis.values) for axis in self.axes]
        return None if None in lengths else math.prod(length or 0 for length in lengths)

    def grid(self) -> Iterator[Point]:
        """Every point, in Hydra's order; there is no grid of intervals."""
        if self.points is not None:
            return iter(self.points)
        keys = [axis.key for axis in self.axes]
        return (
            dict(zip(keys, texts, strict=True))
            for texts in product(*(axis.values or () for axis in self.axes))
        )

    def varied(self) -> tuple[Axis, ...]:
        """The axes; of listed points, the keys in which they differ."""
        if self.points is None:
            return self.axes
        keys = dict.fromkeys(key for point in self.points for key in point)
        values = {key: dict.fromkeys(point[key] for point in self.points if key in point) for key in keys}
        return tuple(Axis(key, tuple(texts)) for key, texts in values.items())


def parse(overrides: list[str]) -> Space:
    """Reads a space from overrides; those of Hydra itself (`hydra/...`) do not count.

    Raises:
        UserError: an override cannot be read, or its interval holds nothing.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    from modules.configuration.composition.hydra_errors import explain
    from modules.configuration.composition.hydra_loader import config_loader
    from modules.configuration.composition.key_locations import CONF

    try:
        parsed = OverridesParser.create(config_loader(CONF)).parse_overrides(overrides)
    except HydraException as error:
        raise explain(error, overrides, CONF) from error
    # A key given twice means what was said last, at the place where it stood first: as in Hydra.
    last = {override.get_key_element(): override for override in parsed if not override.is_hydra_override()}
    axes = tuple(_axis(key, override) for key, override in last.items() if override.is_sweep_override())
    fixed = tuple(str(override.input_line) for override in last.values() if not override.is_sweep_override())
    return Space(axes, fixed)


def from_points(points: list[list[str]]) -> Space:
    """A space of listed points, each given by its overrides; what all of them share is fixed."""
    pairs = [{text.partition("=")[0]: text.partition("=")[2] for text in point} for point in points]
    shared = {key: value for key, value in pairs[0].items() if all(pair.get(key) == value for pair in pairs)}
    fixed = tuple(overrides_of(shared))
    own = tuple({key: value for key, value in pair.items() if key not in shared} for pair in pairs)
    return Space((), fixed, own)


def overrides_of(point: Point) -> list[str]:
    """A point as overrides."""
    return [f"{key}={value}" if value or not key.startswith("~") else key for key, value in point.items()]


def name_of(point: Point) -> str:
    """A point as a short name: `lr=0.002291 hidden_sizes=[256]`; whole keys where their ends are the same."""
    ends = [key.lstrip("+~").rpartition(".")[2] for key in point]
    names = [end if ends.count(end) == 1 else key for end, key in zip(ends, point, strict=True)]
    return " ".join(f"{name}={_shortened(value)}" for name, value in zip(names, point.values(), strict=True))


def _shortened(value: str) -> str:
    """A number of many digits with four of them; any other text as it is."""
    return f"{float(value):.4g}" if _is_number(value) and not _is_whole(value) and len(value) > 8 else value


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _is_whole(text: str) -> bool:
    return text.lstrip("-").isdecimal()


def _axis(key: str, override: "Override") -> Axis:
    from hydra.core.override_parser.types import IntervalSweep
    from hydra.errors import HydraException

    swept, given = override._value, override.input_line
    tags = getattr(swept, "tags", set())
    if tags - {"log"} or (tags and not override.is_interval_sweep()):
        raise UserError(
            f"{given}: of tags there is log alone, on an interval", "tag(log, interval(1e-4, 1e-1))"
        )
    if getattr(swept, "shuffle", False):
        raise UserError(
            f"{given}: shuffle would be another order each time", "Sample points with sweep=random"
        )
    if isinstance(swept, IntervalSweep):
        low, high = swept.start, swept.end
        if low is None or high is None or not low < high or not math.isfinite(high - low):
            raise UserError(f"{given}: there is nothing between {low} and {high}", "interval(low, high)")
        log = "log" in tags
        if log and low <= 0:
            raise UserError(f"{given}: {low} has no logarithm", "An interval under tag(log) lies above 0")
        return Axis(key, None, low, high, log, isinstance(low, int) and isinstance(high, int))
    try:
        values = tuple(override.sweep_string_iterator())
    except (HydraException, ValueError, ArithmeticError) as error:
        raise UserError(f"{given}: {error}") from error
    if not values:
        raise UserError(f"{given} holds no value", "Take it away or list some")
    return Axis(key, values)
