"""Data-parallel training: every process takes its share of each batch, and the gradients are averaged.

Where a process group has been joined (`torch.distributed`), a training is one process's share of it; where
none has, everything here is a training alone. Lightning's own DDPStrategy wraps the module and then expects
one backward for each call of it, but a task takes many in a block; so here the module stays bare, and the
strategy averages its gradients after each backward, in flat buckets (Li et al. 2020, section 3.2,
arXiv 2006.15704; backward and communication do not overlap here).
"""

import time
from collections.abc import Mapping
from typing import Any

import torch
from lightning_fabric.utilities.rank_zero import rank_zero_only
from pytorch_lightning.strategies import ParallelStrategy
from torch import Tensor, distributed, nn
from torch.distributed import ReduceOp

from modules.configuration.errors import UserError
from modules.metrics.mean import Mean

BUCKET_BYTES = 25 * 2**20


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
    """Lightning's share of a process group that was joined before: one device, the module as it is."""

    is_distributed = True  # asked by Lightning
    _average: "GradientAverage | None" = None

    @property
    def average(self) -> "GradientAverage":
        if self._average is None:
            raise RuntimeError("gradients are averaged while fitting only")
        return self._average

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
        self._average = GradientAverage(self.model)

    def post_backward(self, closure_loss: Tensor) -> None:
        self.average()

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


class GradientAverage:
    """Replaces the gradients of a module by their mean over all processes.

    Args:
        module: the same on all processes; a gradient is expected in every parameter that is trained.

    Attributes:
        num_bytes: what each process gives into one average.
        seconds: spent on averages so far; on a GPU, what lies between the work before and after.
    """

    def __init__(self, module: nn.Module) -> None:
        self._names = {parameter: name for name, parameter in module.named_parameters()}
        self._fill_buckets()
        self._seconds = 0.0
        self._marks: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []

    def _fill_buckets(self) -> None:
        self._trained = [parameter for parameter in self._names if parameter.requires_grad]
        self._buckets = [_Bucket(parameters) for parameters in _grouped(self._trained)]
        self.num_bytes = sum(bucket.flat.nbytes for bucket in self._buckets)

    def __call__(self) -> None:
        if len(self._trained) != sum(parameter.requires_grad for parameter in self._names):
            self._fill_buckets()  # a part was frozen or unfrozen
        started = _mark(self._buckets[0].flat.device)
        # While one bucket travels, the next is packed.
        travelling = [distributed.all_reduce(self._packed(bucket), async_op=True) for bucket in self._buckets]
        for bucket, work in zip(self._buckets, travelling, strict=True):
            assert work is not None
            work.wait()
            bucket.flat /= world_size()
            for parameter, mean in zip(bucket.parameters, bucket.views, strict=True):
                parameter.grad = mean
        ended = _mark(self._buckets[0].flat.device)
        if isinstance(started, float) and isinstance(ended, float):
            self._seconds += ended - started
        elif isinstance(started, torch.cuda.Event) and isinstance(ended, torch.cuda.Event):
            self._marks.append((started, ended))

    @property
    def seconds(self) -> float:
        for started, ended in self._marks:
            ended.synchronize()
            self._seconds += started.elapsed_time(ended) / 1000
        self._marks.clear()
        return self._seconds

    def _packed(self, bucket: "_Bucket") -> Tensor:
        for parameter, view in zip(bucket.parameters, bucket.views, strict=True):
            if parameter.grad is None:
                name = self._names[parameter].removeprefix("task.")
                raise UserError(
                    f"{name} gets no gradient, and workers do not know of each other's",
                    "Use it in the loss, set its requires_grad to False, or set runtime.num_workers=1",
                )
            view.copy_(parameter.grad)
        return bucket.flat


class _Bucket:
    """Parameters whose gradients travel side by side in one flat tensor."""

    def __init__(self, parameters: list[nn.Parameter]) -> None:
        self.parameters = parameters
        self.flat = parameters[0].new_empty(sum(parameter.numel() for parameter in parameters))
        parts = self.flat.split([parameter.numel() for parameter in parameters])
        self.views = [part.view_as(own) for part, own in zip(parts, parameters, strict=True)]


def _grouped(parameters: list[nn.Parameter]) -> list[list[nn.Parameter]]:
    """Neighbours of one type together, up to the size of a bucket."""
    groups: list[list[nn.Parameter]] = []
    size = 0
    for parameter in parameters:
        if not groups or groups[-1][0].dtype != parameter.dtype or size + parameter.nbytes > BUCKET_BYTES:
            groups.append([])
            size = 0
        groups[-1].append(parameter)
        size += parameter.nbytes
    return groups


def _mark(device: torch.device) -> "float | torch.cuda.Event":
    """This moment on a device's own clock."""
    if device.type != "cuda":
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event
