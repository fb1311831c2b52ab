"""Writes checkpoints behind a training's back: it waits neither for the disk nor, mostly, for a copy.

The copy lies in buffers that are used again, pinned where the state is on a GPU: a training takes the memory
of its state once more. What only optimiser steps change, weights and optimiser states, is copied by the
thread that writes, while the next gradient is computed; the step itself waits for the copy. There is one
write at a time, and what goes wrong in it is raised at the next.
"""

import copy
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

THREAD = "checkpoint"
"""The name of the thread that writes."""
_PLAIN = {int, float, bool, str, bytes, type(None)}


class Snapshot:
    """Copies of tensors and plain containers, in the same memory again and again."""

    def __init__(self) -> None:
        self._buffers: list[Tensor] = []
        self._num_used = 0
        self._copied: dict[int, Tensor] = {}
        self._later: frozenset[int] = frozenset()
        self._pending: list[tuple[Tensor, Tensor]] = []
        self._sent: torch.cuda.Event | None = None

    def take(self, content: Any, later: Iterable[Tensor] = ()) -> Any:
        """A copy that later changes of `content` do not reach; all its tensors are on the CPU.

        It is good until the next one is taken. Tensors that share memory share it in the copy too.

        Args:
            content: tensors and plain containers.
            later: those of its tensors that `finish`, which whoever reads the copy has to call, may copy.
        """
        self._later = frozenset(tensor.untyped_storage()._cdata for tensor in later)
        self._num_used, self._copied, self._pending = 0, {}, []
        found = self._copy(content)
        del self._buffers[self._num_used :]
        self._copied, self._sent = {}, None
        if torch.cuda.is_initialized():
            self._sent = torch.cuda.Event()
            self._sent.record()
        return found

    def finish(self) -> None:
        """Returns when nothing that was copied is needed any more; from any thread."""
        for buffer, whole in self._pending:
            buffer.copy_(whole)
        self._pending = []
        if self._sent is not None:
            self._sent.synchronize()

    def _copy(self, value: Any) -> Any:
        kind = type(value)
        if kind in _PLAIN:
            return value
        if isinstance(value, Tensor):
            return self._tensor(value)
        if kind is list or kind is tuple:
            if _PLAIN.issuperset(map(type, value)):
                return kind(value)
            return kind([self._copy(item) for item in value])
        if isinstance(value, dict):
            own = copy.copy(value)  # of its kind and with its attributes
            for key, item in value.items():
                own[key] = self._copy(item)
            return own
        return copy.deepcopy(value)

    def _tensor(self, tensor: Tensor) -> Tensor:
        if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_conj() or tensor.is_neg():
            return tensor.detach().cpu().clone()
        storage = tensor.untyped_storage()
        buffer = self._copied.get(storage._cdata)
        if buffer is None:
            buffer = self._buffer(storage.nbytes(), tensor.device)
            whole = torch.empty(0, dtype=torch.uint8, device=tensor.device).set_(storage)  # pyright: ignore
            if storage._cdata in self._later and tensor.device.type == "cpu":
                self._pending.append((buffer, whole))
            else:
                buffer.copy_(whole, non_blocking=True)
            self._copied[storage._cdata] = buffer
        own = torch.empty(0, dtype=tensor.dtype)
        return own.set_(  # pyright: ignore[reportCallIssue]
            buffer.untyped_storage(), tensor.storage_offset(), tensor.size(), tensor.stride()
        )

    def _buffer(self, num_bytes: int, device: torch.device) -> Tensor:
        number, self._num_used = self._num_used, self._num_used + 1
        if number == len(self._buffers):
            self._buffers.append(torch.empty(0, dtype=torch.uint8))
        if self._buffers[number].numel() != num_bytes:
            pinned = device.type == "cuda"
            self._buffers[number] = torch.empty(num_bytes, dtype=torch.uint8, pin_memory=pinned)
        return self._buffers[number]


class CheckpointWriter:
    """Writes one content after another in a thread of its own."""

    def __init__(self) -> None:
        self._snapshot = Snapshot()
        self._copied = threading.Event()
        self._copied.set()
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def write(
        self, content: dict[str, Any], save: Callable[[dict[str, Any]], None], later: Iterable[Tensor] = ()
    ) -> None:
        """Copies a content and begins to write it, once the one before is written.

        Args:
            content: tensors and plain containers, which may change afterwards.
            save: writes it.
            later: tensors that do not change before `wait_for_copy`.

        Raises:
            BaseException: what the one before failed with.
        """
        self.wait()
        copied = self._snapshot.take(content, later)
        self._copied.clear()
        self._thread = threading.Thread(target=self._run, args=(copied, save), name=THREAD, daemon=True)
        self._thread.start()

    @property
    def is_writing(self) -> bool:
        """Whether something has been begun that is not written yet."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def is_copying(self) -> bool:
        """Whether tensors that were to be copied later are not copied yet."""
        return not self._copied.is_set()

    def wait_for_copy(self) -> float:
        """Until all tensors may change; for how many seconds that was."""
        if not self.is_copying:
            return 0.0
        began_s = time.perf_counter()
        self._copied.wait()
        return time.perf_counter() - began_s

    def wait(self) -> None:
        """Until what has been begun is written.

        Raises:
            BaseException: what it failed with; once.
        """
        self.end()
        error, self._error = self._error, None
        if error is not None:
            raise error

    def end(self) -> None:
        """Waits, where another error is on its way already."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self, content: dict[str, Any], save: Callable[[dict[str, Any]], None]) -> None:
        try:
            try:
                self._snapshot.finish()
            finally:
                self._copied.set()
            save(content)
        except BaseException as error:
            self._error = error
