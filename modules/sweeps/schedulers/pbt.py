"""Population based training (Jaderberg et al. 2017, arXiv 1711.09846).

All members train at once. Every `perturb_every_epochs` a member among the worst `quantile` copies weights and
point of one among the best (the paper's *exploit*, truncation selection) and moves away from that point a
little (*explore*): numbers of an interval times 0.8 or 1.2, listed values sampled again one time in four.
Members are compared at equal age where they have come so far, otherwise by their last value.
"""

import random

from modules.sweeps.schedulers.decisions import Decision, Exploit
from modules.sweeps.search.search_algorithms import Mode, sample
from modules.sweeps.search.search_space import Axis, Point, Space

FACTORS = (0.8, 1.2)
RESAMPLE_PROBABILITY = 0.25


class Population:
    """
    Args:
        space: within which points move.
        perturb_every_epochs: between two exchanges of a member.
        quantile: share of the population that is replaced, and share that is copied.
        seed: of all samples.
        mode: whether more or less is better.
        max_epochs: of every member: after the last there is no exchange.
    """

    def __init__(
        self,
        space: Space,
        perturb_every_epochs: int,
        quantile: float,
        seed: int,
        mode: Mode,
        max_epochs: int,
    ) -> None:
        self._axes = space.axes
        self._every = perturb_every_epochs
        self._quantile = quantile
        self._seed = seed
        self._sign = 1 if mode == "max" else -1
        self._max_epochs = max_epochs
        self._points: dict[int, Point] = {}
        self._scores: dict[int, dict[int, float]] = {}

    def add(self, trial: int, point: Point) -> None:
        self._points[trial] = point
        self._scores[trial] = {}

    def decide(self, trial: int, epoch: int, value: float) -> Decision:
        seen_before = epoch in self._scores[trial]
        self._scores[trial][epoch] = self._sign * value if value == value else float("-inf")
        if seen_before or epoch % self._every or epoch >= self._max_epochs:
            return "continue"
        ranked = self._ranked(epoch)
        num_exchanged = int(len(ranked) * self._quantile)
        if num_exchanged == 0 or trial not in ranked[-num_exchanged:]:
            return "continue"
        # Seeded by what happened, not from a stream: another order of other members changes nothing.
        generator = random.Random(f"{self._seed} {trial} {epoch}")
        source = generator.choice(ranked[:num_exchanged])
        self._points[trial] = {
            axis.key: explore(axis, self._points[source][axis.key], generator) for axis in self._axes
        }
        self._scores[trial][epoch] = self._score(source, epoch) or 0.0
        return Exploit(source, self._points[trial])

    def _ranked(self, epoch: int) -> list[int]:
        """The members that have a value, best first; of equals the older first."""
        scores = {trial: self._score(trial, epoch) for trial in self._scores}
        known = {trial: score for trial, score in scores.items() if score is not None}
        return sorted(known, key=lambda trial: -known[trial])

    def _score(self, trial: int, epoch: int) -> float | None:
        reached = [age for age in self._scores[trial] if age <= epoch]
        return self._scores[trial][max(reached)] if reached else None


def explore(axis: Axis, text: str, generator: random.Random) -> str:
    """A value near another: within the interval, or now and then another of the listed ones."""
    if axis.values is None:
        return axis.text(float(text) * generator.choice(FACTORS))
    return sample(axis, generator) if generator.random() < RESAMPLE_PROBABILITY else text
