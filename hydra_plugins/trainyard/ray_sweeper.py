"""`hydra/sweeper=ray`: a multirun as one sweep on Ray, its points chosen as `sweep=` says.

Hydra imports every plugin at each start: nothing heavy stands at the top.
"""

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class RaySweeper(Sweeper):
    """Chooses points and trains them itself: Hydra's task, one training in this process, is not called."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Nothing of Hydra's is needed."""

    def sweep(self, arguments: list[str]) -> None:
        from modules.sweeps.control.sweep_command import sweep
        from modules.sweeps.control.sweep_setup import set_up

        sweep(set_up(arguments))
