"""The score that a recipe is expected to reach, and what was seen of it when it was trained.

What was seen is for people and for plans of work (`docs/catalogue.md`, `pipelines.catalogue`): it decides
nothing of a training or an evaluation, and a plan leaves it out.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from modules.configuration.errors import ConfigError
from modules.configuration.schema.ranges import finite

SEEN = ("seen", "minutes")
"""The keys that a plan leaves out."""


@dataclass(frozen=True)
class ExpectedSettings:
    """The score that a recipe is expected to reach on the test split.

    Attributes:
        metric: a figure of the recipe's evaluators.
        at_least: the lowest value that passes, where larger is better.
        at_most: the highest, where smaller is better; one of the two is set.
        seen: the score of seed 0, or of the first seed that was trained; null where none was seen.
        minutes: that the training took, about, of one core; null where that is not known.
    """

    metric: str
    at_least: float | None = None
    at_most: float | None = None
    seen: float | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        finite("at_least", self.at_least)
        finite("at_most", self.at_most)
        if (self.at_least is None) == (self.at_most is None):
            raise ConfigError("at_least", "one of at_least and at_most is needed, and not both")
        finite("seen", self.seen)
        if self.seen is not None and not self.reached(self.seen):
            bound = "at_least" if self.mode == "max" else "at_most"
            raise ConfigError(
                "seen",
                f"{self.seen:g} does not pass {bound}: {self.bound:g}",
                "Expect what was seen, or leave it out: ~expected.seen on the command line",
            )
        if self.minutes is not None and not 0 < self.minutes < math.inf:
            raise ConfigError(
                "minutes", f"{self.minutes:g} is no number above 0", "null where it is not known"
            )

    @property
    def mode(self) -> Literal["max", "min"]:
        """Which values are better."""
        return "min" if self.at_least is None else "max"

    @property
    def bound(self) -> float:
        """The worst value that passes."""
        bound = self.at_most if self.at_least is None else self.at_least
        assert bound is not None
        return bound

    def reached(self, value: float) -> bool:
        """Whether a value passes; no number does not."""
        return value <= self.bound if self.mode == "min" else value >= self.bound


def without_what_was_seen(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without the keys of SEEN, which decide nothing."""
    expected = {key: value for key, value in configuration["expected"].items() if key not in SEEN}
    return {**configuration, "expected": expected}
