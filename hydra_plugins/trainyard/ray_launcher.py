"""`hydra/launcher=ray`: the jobs that Hydra's own sweeper lists, as trials of one sweep on Ray.

Hydra imports every plugin at each start: nothing heavy stands at the top.
"""

from collections.abc import Sequence

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class RayLauncher(Launcher):
    """Trains the jobs itself: Hydra's task, one training in this process, is not called."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Nothing of Hydra's is needed."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from modules.sweeps.control.sweep_command import sweep
        from modules.sweeps.control.sweep_setup import set_up_points

        sweep(set_up_points([list(job) for job in job_overrides]))
        return [JobReturn(overrides=job, status=JobStatus.COMPLETED) for job in job_overrides]
