"""Gradients averaged over processes in flat buckets.

Li et al. 2020, *PyTorch distributed*, section 3.2 (arXiv 2006.15704); backward and communication do not
overlap here.
"""

import time
from collections.abc import Sequence

import torch
from torch import Tensor, distributed, nn

from modules.configuration.errors import UserError

BUCKET_BYTES = 25 * 2**20


class GradientAverage:
    """Replaces the gradients of a module by their mean over all processes.

    Args:
        module: the same on all processes.
        parameters: of it; a gradient is expected in every one that is trained.

    Attributes:
        num_bytes: what each process gives into one average.
        seconds: spent on averages so far; on a GPU, what lies between the work before and after.
    """

    def __init__(self, module: nn.Module, parameters: Sequence[nn.Parameter]) -> None:
        own = set(parameters)
        self._names = {one: name for name, one in module.named_parameters() if one in own}
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
        if not self._buckets:  # all of a step's parameters are frozen
            return
        started = _mark(self._buckets[0].flat.device)
        # While one bucket travels, the next is packed.
        travelling = [distributed.all_reduce(self._packed(bucket), async_op=True) for bucket in self._buckets]
        for bucket, work in zip(self._buckets, travelling, strict=True):
            assert work is not None
            work.wait()
            bucket.flat /= distributed.get_world_size()
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
