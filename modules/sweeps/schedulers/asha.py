"""Asynchronous successive halving (Li et al. 2020, arXiv 1810.05934, algorithm 2), stopping variant.

Rungs lie at r * eta^k epochs (r = `grace_epochs`, eta = `reduction_factor`). A trial that reaches a rung goes
on if it is among the best 1/eta of all that have reached it so far. The paper pauses the others, to promote
them should the rung fill up; here they are stopped, so that nobody waits and no checkpoint is kept for them.
"""

from modules.sweeps.schedulers.decisions import Decision
from modules.sweeps.search.search_algorithms import Mode
from modules.sweeps.search.search_space import Point


class SuccessiveHalving:
    """
    Args:
        grace_epochs: the first rung.
        reduction_factor: one in so many goes on.
        mode: whether more or less is better.
        max_epochs: of every trial: rungs lie below it.
    """

    def __init__(self, grace_epochs: int, reduction_factor: int, mode: Mode, max_epochs: int) -> None:
        self._eta = reduction_factor
        self._sign = 1 if mode == "max" else -1
        self._rungs: dict[int, dict[int, float]] = {}
        rung = grace_epochs
        while rung < max_epochs:
            self._rungs[rung] = {}
            rung *= reduction_factor

    @property
    def rungs(self) -> list[int]:
        """Epochs after which trials are stopped."""
        return list(self._rungs)

    def add(self, trial: int, point: Point) -> None:
        """Nothing depends on it."""

    def decide(self, trial: int, epoch: int, value: float) -> Decision:
        # A trial that lost its worker reports some epochs again: it counts once a rung.
        values = self._rungs.get(epoch)
        if values is None or trial in values:
            return "continue"
        values[trial] = score = self._sign * value
        num_better = sum(other > score for other in values.values())
        # Not a number is never among the best.
        return "continue" if score == score and num_better < max(1, len(values) // self._eta) else "stop"
