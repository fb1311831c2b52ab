"""Data-parallel training: every process takes its share of each batch, and the gradients are averaged.

Where a process group has been joined (`torch.distributed`), a training is one process's share of it; where
none has, everything here is a training alone. Lightning's own DDPStrategy wraps the module and then expects
one backward for each call of it, but a task takes many in a block; so here the module stays bare, and the
strategy averages its gradients during and after each backward (`modules.training.gradient_average`).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from lightning_fabric.utilities.rank_zero import rank_zero_only
from pytorch_lightning.strategies import ParallelStrategy
from torch import Tensor, distributed, nn
from torch.distributed import ReduceOp

from modules.configuration.errors import UserError
from modules.metrics.mean import Mean
from modules.training.gradient_average import GradientAverage


def world_size() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """Which of them this one is."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def mean_over_workers(values: Tensor) -> Tensor:
    """The mean over all processes, element by element; the same in each."""
    if world_size() == 1:
        return values
    total = values.clone()
    distributed.all_reduce(total)
    return total / world_size()


def with_shared_count(loss: Mean) -> Mean:
    """A process's loss over the mean count of all processes, so that the mean over the processes is the sum
    of all totals by the sum of all counts, however unequal these are.

    A count that is a number is the same in each process, and nothing is sent.
    """
    return loss if isinstance(loss.count, int) else Mean(loss.total, mean_over_workers(loss.count))


def figures_of_all_workers(means: Mapping[str, Mean], figures: Mapping[str, float]) -> dict[str, float]:
    """What all processes together found, the same in each.

    Args:
        means: each process's share of them.
        figures: by name, the same names in each process; their plain averages are taken.

    Raises:
        UserError: a mean is one of no values at all.
    """
    names = [*means, *figures]
    shares = [(float(mean.total), float(mean.count)) for mean in means.values()]
    shares += [(figure, 1.0) for figure in figures.values()]
    if world_size() > 1:
        summed = torch.tensor(shares, dtype=torch.float64, device=_device())
        distributed.all_reduce(summed)
        shares = summed.tolist()
    if empty := [name for name, (_, count) in zip(names, shares, strict=True) if count == 0]:
        raise UserError(f"{empty[0]} is the mean of no values", "Look at what the split's masks keep")
    return {name: total / count for name, (total, count) in zip(names, shares, strict=True)}


def highest(number: int) -> int:
    """The highest number of all processes."""
    if world_size() == 1:
        return number
    highest = torch.tensor(number, device=_device())
    distributed.all_reduce(highest, ReduceOp.MAX)
    return int(highest)


def _device() -> str:
    """Where numbers have to be to travel between processes."""
    return "cuda" if distributed.get_backend() == "nccl" else "cpu"


def all_workers(value: Any) -> list[Any]:
    """The plain value that each process has, by rank."""
    values = [value] * world_size()
    if world_size() > 1:
        distributed.all_gather_object(values, value)
    return values


class DataParallelStrategy(ParallelStrategy):
    """Lightning's share of a process group that was joined before: one device, the module as it is.

    Args:
        parameters: of each step of the task.
        turns: numbers of the steps in the order of their turns.

    Attributes:
        turn: number of the step whose gradients come next.
    """

    is_distributed = True  # asked by Lightning

    def __init__(self, parameters: Sequence[Sequence[nn.Parameter]], turns: Sequence[int]) -> None:
        super().__init__()
        self.turn = 0
        self._parameters = parameters
        self._turns = turns
        self._averages: list[GradientAverage] = []
        self._adds_up = False

    @property
    def averaging_seconds(self) -> float | None:
        """Spent on averages so far; None where they are not told apart from other work."""
        return sum(average.seconds for average in self._averages)

    @property
    def bytes_per_step(self) -> float:
        """What each process gives into the averages of a step, over all turns."""
        return sum(self._averages[turn].num_bytes for turn in self._turns) / len(self._turns)

    @property
    def root_device(self) -> torch.device:
        assert self.parallel_devices is not None
        return self.parallel_devices[0]

    @property
    def global_rank(self) -> int:
        return rank()

    @property
    def world_size(self) -> int:
        return world_size()

    def set_world_ranks(self) -> None:
        rank_zero_only.rank = rank()

    def model_to_device(self) -> None:
        assert self.model is not None
        self.model.to(self.root_device)
        for tensor in self.model.state_dict().values():
            distributed.broadcast(tensor, src=0)
        self._averages = [GradientAverage(self.model, parameters) for parameters in self._parameters]

    @contextmanager
    def averaging_once(self) -> Iterator[None]:
        """Within it, gradients of several backward passes add up, and are averaged at its end."""
        self._adds_up = True
        try:
            yield
        finally:
            self._adds_up = False
        self._average()

    def pre_backward(self, closure_loss: Tensor) -> None:
        if not self._adds_up:
            self._averages[self.turn].open()

    def post_backward(self, closure_loss: Tensor) -> None:
        if not self._adds_up:
            self._average()

    def _average(self) -> None:
        """After all backward passes of a step."""
        self._averages[self.turn]()

    def teardown(self) -> None:
        for average in self._averages:
            average.close()
        super().teardown()

    def barrier(self, *args: Any, **kwargs: Any) -> None:
        distributed.barrier()

    def broadcast(self, obj: Any, src: int = 0) -> Any:
        return all_workers(obj)[src]

    def reduce(self, tensor: Any, group: Any = None, reduce_op: Any = "mean") -> Any:
        if not isinstance(tensor, Tensor):
            return tensor
        if reduce_op in ("mean", "avg", None):
            # Not Lightning's way, which cuts the mean of whole numbers, such as counts of samples.
            return mean_over_workers(tensor)
        result = tensor.clone()
        op = getattr(ReduceOp, reduce_op.upper()) if isinstance(reduce_op, str) else reduce_op
        distributed.all_reduce(result, op)
        return result
