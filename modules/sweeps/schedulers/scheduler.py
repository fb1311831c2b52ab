"""Schedulers of trials by their names in conf/sweep."""

from modules.configuration.schema.execution_settings import SweepSettings
from modules.sweeps.schedulers.asha import SuccessiveHalving
from modules.sweeps.schedulers.decisions import Decision, Scheduler
from modules.sweeps.schedulers.pbt import Population
from modules.sweeps.search.search_algorithms import Mode
from modules.sweeps.search.search_space import Point, Space


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
    match settings.scheduler:
        case "asha":
            return SuccessiveHalving(settings.grace_epochs, settings.reduction_factor, mode, max_epochs)
        case "pbt":
            every, quantile = settings.perturb_every_epochs, settings.quantile
            return Population(space, every, quantile, settings.seed, mode, max_epochs)
        case "none":
            return NoScheduler()
