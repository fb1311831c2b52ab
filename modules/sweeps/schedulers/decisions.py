"""What becomes of a trial after an epoch: it goes on, is stopped, or takes over another's weights and point.

A scheduler is a state machine without a clock: the same calls in the same order give the same decisions.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

from modules.sweeps.search.search_space import Point


@dataclass(frozen=True)
class Exploit:
    """A member of a population goes on from another's weights, at a point near the other's.

    Attributes:
        copy_from: the trial whose weights and optimizer state are taken.
        point: with which to go on.
    """

    copy_from: int
    point: Point


Decision = Literal["continue", "stop"] | Exploit


class Scheduler(Protocol):
    def add(self, trial: int, point: Point) -> None:
        """A trial has been asked for; called once for each, in order."""
        ...

    def decide(self, trial: int, epoch: int, value: float) -> Decision:
        """What becomes of a trial.

        Args:
            trial: its number.
            epoch: how many epochs it has finished: 1 after the first.
            value: of the metric after that epoch.
        """
        ...
