"""How much memory a step holds at its height, found on the meta device: sizes and lifetimes without bytes."""

import weakref
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, UntypedStorage
from torch.utils._python_dispatch import TorchDispatchMode

from modules.shapes.calls import tensors
from modules.shapes.remembered_shapes import RememberedShapes
from modules.shapes.whole_kernels import WholeKernels
from modules.tasks.step import gradients_of
from modules.tasks.task import Task


class LiveBytes(TorchDispatchMode):
    """Counts what operations allocate and when it is let go.

    What an operation's kernel borrows while it runs (a convolution's workspace) is not seen.

    Args:
        known: tensors that are there already; they do not count.

    Attributes:
        live: bytes allocated and not yet freed.
        most: the highest that `live` has been.
    """

    def __init__(self, known: Iterable[Tensor]) -> None:
        super().__init__()
        self.live = self.most = 0
        self._known = [tensor.untyped_storage() for tensor in known]
        self._held: dict[int, Any] = {storage._cdata: storage for storage in self._known}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in tensors(result):
            self._hold(tensor.untyped_storage())
        return result

    def _hold(self, storage: UntypedStorage) -> None:
        key, num_bytes = storage._cdata, storage.nbytes()
        if key in self._held:
            return

        def let_go(_: object) -> None:
            self.live -= num_bytes
            del self._held[key]

        self._held[key] = weakref.ref(storage, let_go)
        self.live += num_bytes
        self.most = max(self.most, self.live)


def working_bytes(task: Task, batch: dict[str, Tensor]) -> int:
    """The most that forward and backward pass of a step allocate: activations, gradients, what is between.

    Args:
        task: on the meta device, without gradients.
        batch: of the size that is asked about, on the meta device.
    """
    counter = LiveBytes([*task.parameters(), *task.buffers(), *batch.values()])
    with torch.device("meta"), WholeKernels(), RememberedShapes(), counter:
        steps = task.steps()
        for step in steps:
            step.loss(batch).quotient.backward(inputs=gradients_of(steps, step))
    return counter.most
