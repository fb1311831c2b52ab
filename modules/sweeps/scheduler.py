"""What becomes of a trial after an epoch: it goes on, is stopped, or takes over another's weights and point.

A scheduler is a state machine without a clock: the same calls in the same order give the same decisions.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

from modules.configuration.execution import SweepSettings
from modules.sweeps.search import Mode
from modules.sweeps.space import Point, Space


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


class NoScheduler:
    """Every trial is trained to its end."""

    def add(self, trial: int, point: Point) -> None:
        """Nothing depends on it."""

    def decide(self, trial: int, epoch: int, value: float) -> Decision:
        return "continue"


def make_scheduler(settings: SweepSettings, space: Space, mode: Mode, max_epochs: int) -> Scheduler:
    """The scheduler that the settings name.

    Args:
        settings: of the sweep.
        space: within which points are changed.
        mode: whether more or less is better.
        max_epochs: of every trial; after its last epoch nothing is left to decide.
    """
    from modules.sweeps.asha import SuccessiveHalving
    from modules.sweeps.pbt import Population

    match settings.scheduler:
        case "asha":
            return SuccessiveHalving(settings.grace_epochs, settings.reduction_factor, mode, max_epochs)
        case "pbt":
            every, quantile = settings.perturb_every_epochs, settings.quantile
            return Population(space, every, quantile, settings.seed, mode, max_epochs)
        case "none":
            return NoScheduler()
