"""Gradients averaged over processes in flat buckets, while the backward pass goes on.

Li et al. 2020, *PyTorch distributed*, sections 3.2.2 and 3.2.3 (arXiv 2006.15704). Gradients come from the
output back to the input; so the last parameters fill the first bucket, which travels as soon as it is full.
All processes send their buckets in one order, whichever is full first. A parameter may get no gradient in
some of the processes, or in all: beside the gradients travels how many processes have each, and what none of
them has stays without.
"""

import time
from collections.abc import Sequence

import torch
from torch import Tensor, distributed, nn
from torch.utils.hooks import RemovableHandle

FIRST_BUCKET_BYTES, BUCKET_BYTES = 2**20, 25 * 2**20
"""The first is smaller: it sets out early."""


class GradientAverage:
    """Replaces the gradients of a module by their mean over all processes.

    Args:
        module: the same on all processes.
        parameters: of it.

    Attributes:
        num_bytes: of gradients, that each process gives into one average.
        seconds: spent on averages after backward passes so far; on a GPU, what lies between the work before
            and after.
    """

    def __init__(self, module: nn.Module, parameters: Sequence[nn.Parameter]) -> None:
        own = set(parameters)
        self._parameters = [parameter for parameter in module.parameters() if parameter in own]
        self._handles: list[RemovableHandle] = []
        self._is_open = False
        self._fill_buckets()
        self._seconds = 0.0
        self._marks: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []

    def _fill_buckets(self) -> None:
        self.close()
        self._trained = [parameter for parameter in self._parameters if parameter.requires_grad]
        self._buckets = [_Bucket(parameters) for parameters in _grouped(self._trained[::-1])]
        self._places = {
            parameter: (bucket, number)
            for bucket in self._buckets
            for number, parameter in enumerate(bucket.parameters)
        }
        self.num_bytes = sum(parameter.nbytes for parameter in self._trained)
        self._num_sent = 0
        self._handles = [one.register_post_accumulate_grad_hook(self._arrived) for one in self._trained]

    def open(self) -> None:
        """Before the one backward pass that leaves all gradients of a step: from now on, buckets set out as
        they fill."""
        self._look_for_frozen()
        self._is_open = True

    def close(self) -> None:
        """Takes all that listens off the parameters."""
        self._is_open = False
        for handle in self._handles:
            handle.remove()

    def __call__(self) -> None:
        """After the backward pass: sends what has not set out yet, and waits for all."""
        self._is_open = False
        self._look_for_frozen()
        if not self._buckets:  # all of a step's parameters are frozen
            return
        started = _mark(self._buckets[0].flat.device)
        for bucket in self._buckets[self._num_sent :]:
            # What one process has no gradient of another may have.
            bucket.pack_rest()
            bucket.send()
        for bucket in self._buckets:
            bucket.take()
        self._num_sent = 0
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

    def _look_for_frozen(self) -> None:
        if len(self._trained) != sum(parameter.requires_grad for parameter in self._parameters):
            self._fill_buckets()  # a part was frozen or unfrozen

    def _arrived(self, parameter: Tensor) -> None:
        if not self._is_open:
            return
        bucket, number = self._places[parameter]  # pyright: ignore[reportArgumentType]
        bucket.pack(number)
        while self._num_sent < len(self._buckets) and self._buckets[self._num_sent].is_full:
            self._buckets[self._num_sent].send()
            self._num_sent += 1


class _Bucket:
    """Parameters whose gradients travel side by side in one flat tensor, and behind them, of each, whether it
    is there."""

    def __init__(self, parameters: list[nn.Parameter]) -> None:
        self.parameters = parameters
        sizes = [parameter.numel() for parameter in parameters]
        self.flat = parameters[0].detach().new_empty(sum(sizes) + len(sizes))
        *parts, self._are_there = self.flat.split([*sizes, len(sizes)])
        self._views = [part.view_as(own) for part, own in zip(parts, parameters, strict=True)]
        self._packed: set[int] = set()
        self._travelling: distributed.Work | None = None

    @property
    def is_full(self) -> bool:
        return len(self._packed) == len(self.parameters)

    def pack(self, number: int) -> None:
        """Takes in the gradient of a parameter."""
        if self._travelling is not None:
            raise RuntimeError("a gradient came again in one backward pass, after it was sent")
        gradient, view = self.parameters[number].grad, self._views[number]
        assert gradient is not None
        if gradient is not view:
            view.copy_(gradient)
        self._packed.add(number)

    def pack_rest(self) -> None:
        """Takes in what has not come by itself, and zeros for what is not there."""
        for number, parameter in enumerate(self.parameters):
            if number in self._packed:
                continue
            if parameter.grad is not None:
                self.pack(number)
            else:
                self._views[number].zero_()

    def send(self) -> None:
        self._are_there.fill_(1)
        for number in range(len(self.parameters)):
            if number not in self._packed:
                self._are_there[number] = 0
        work = distributed.all_reduce(self.flat, async_op=True)
        assert work is not None
        self._travelling = work

    def take(self) -> None:
        """Waits, and leaves the mean of all processes' gradients in each parameter that one of them has."""
        assert self._travelling is not None
        self._travelling.wait()
        self.flat /= distributed.get_world_size()
        for number, (parameter, mean) in enumerate(zip(self.parameters, self._views, strict=True)):
            if number in self._packed or bool(self._are_there[number]):
                parameter.grad = mean
        self._packed.clear()
        self._travelling = None


def _grouped(parameters: list[nn.Parameter]) -> list[list[nn.Parameter]]:
    """Neighbours of one type together, up to the size of a bucket."""
    groups: list[list[nn.Parameter]] = []
    size = 0
    for parameter in parameters:
        largest = min(FIRST_BUCKET_BYTES, BUCKET_BYTES) if len(groups) == 1 else BUCKET_BYTES
        if not groups or groups[-1][0].dtype != parameter.dtype or size + parameter.nbytes > largest:
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
