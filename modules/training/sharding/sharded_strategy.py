"""Lightning's share of a process group whose workers hold a shard of the training each.

Checkpoints are those of an unsharded training: whole tensors, gathered one by one to the first worker, which
writes; every worker cuts its shards from what it reads. So one training may go on as the other, with any
number of workers.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from modules.training.data_parallel import DataParallelStrategy
from modules.training.sharding.sharded_task import ShardedTask
from modules.training.sharding.whole_tensors import shard_like, whole_state


class ShardedStrategy(DataParallelStrategy):
    """One device, a shard of the task.

    Args:
        sharded: what is trained.
    """

    def __init__(self, sharded: ShardedTask) -> None:
        super().__init__([], [0])
        self._sharded = sharded

    @property
    def averaging_seconds(self) -> None:
        """Not told apart: gradients travel while others are computed, and weights too."""
        return None

    @property
    def bytes_per_step(self) -> float:
        """Of gradients, that each worker gives to the others in a step."""
        return self._sharded.num_bytes

    def model_to_device(self) -> None:
        """Nothing: shards have been cut on their device."""

    def pre_backward(self, closure_loss: Tensor) -> None:
        """Nothing: the loss itself has gathered and will shard."""

    def _average(self) -> None:
        self._sharded.settle()

    def on_validation_start(self) -> None:
        self._sharded.gather()

    def on_validation_end(self) -> None:
        self._sharded.let_go()

    def lightning_module_state_dict(self) -> dict[str, Any]:
        return whole_state(super().lightning_module_state_dict())

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        return whole_state(optimizer.state_dict())

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        assert self.lightning_module is not None
        own = self.lightning_module.state_dict()
        state = {
            name: shard_like(value, own[name]) if name in own else value
            for name, value in checkpoint["state_dict"].items()
        }
        self.lightning_module.load_state_dict(state, strict=strict)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            parameters = [one for group in optimizer.param_groups for one in group["params"]]
            shards = {
                number: {key: _sharded(value, parameters[number]) for key, value in values.items()}
                for number, values in state["state"].items()
            }
            optimizer.load_state_dict({**state, "state": shards})


def _sharded(value: Any, parameter: nn.Parameter) -> Any:
    """What an optimiser keeps of each number of a parameter is cut as that is."""
    is_alike = isinstance(value, Tensor) and value.shape == parameter.shape
    return shard_like(value, parameter) if is_alike else value
