"""The trials that wait for a worker, first come first served, and which of them train as one program."""

import math
from collections import deque

from modules.sweeps.control.trial import Trial
from modules.sweeps.control.trial_history import Trials
from modules.training.runs.run_folder import RunFolder

STACKED_AHEAD = 32
"""Trials to have waiting for each worker, where they may be stacked."""


class TrialQueue:
    """
    Args:
        trials: the books.
    """

    def __init__(self, trials: Trials) -> None:
        self._trials = trials
        self._line: deque[Trial] = deque()
        self._alone: set[int] = set()

    def __len__(self) -> int:
        return len(self._line)

    def append(self, trial: Trial) -> None:
        """Lets a trial wait behind all others."""
        self._line.append(trial)

    def put_back(self, trial: Trial, alone: bool = False) -> None:
        """Lets a trial wait before all others.

        Args:
            trial: that was running.
            alone: whether it must not be stacked again.
        """
        if alone:
            self._alone.add(trial.number)
        self._line.appendleft(trial)

    def goes_alone(self, trial: Trial) -> bool:
        """Whether it must not be stacked."""
        return trial.number in self._alone

    def next_task(self, num_free: int, room: int) -> list[Trial]:
        """The trial that has waited longest, with its share of those that can train with it.

        Args:
            num_free: workers among whom those are shared.
            room: how many trials may start.
        """
        first = self._line.popleft()
        if not self._can_be_stacked(first):
            return [first]
        from modules.sweeps.workers.stacking.groups import stack_groups, stack_size

        trials = [first, *filter(self._can_be_stacked, self._line)]
        group = stack_groups([self._trials.plan(trial) for trial in trials])[0]
        share = math.ceil(len(group) / num_free)
        task = [trials[index] for index in group[: min(share, room, stack_size(self._trials.plan(first)))]]
        for trial in task[1:]:
            self._line.remove(trial)
        return task

    def _can_be_stacked(self, trial: Trial) -> bool:
        """What was begun alone goes on alone; a population's members take over each other's checkpoints."""
        sweep = self._trials.sweep
        return (
            sweep.settings.stack
            and not self._trials.is_population
            and sweep.runtime.num_workers == 1
            and not self.goes_alone(trial)
            and not RunFolder(self._trials.folder(trial)).checkpoint.exists()
        )
