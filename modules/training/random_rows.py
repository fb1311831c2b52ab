"""Random numbers for a batch that several processes share: each sample gets what one process would give it.

All processes run the same generator. What is sampled for the rows of a batch is sampled for the rows of every
share, and each process takes its own: dropout, noise and augmentation are those of the whole batch, whatever
the number of processes. It costs each of them the random numbers of all.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from modules.training.data_parallel import rank, world_size

_OF_TENSORS = frozenset(
    [
        functional.dropout,
        functional.dropout1d,
        functional.dropout2d,
        functional.dropout3d,
        functional.alpha_dropout,
        functional.feature_alpha_dropout,
        torch.rand_like,
        torch.randn_like,
        torch.randint_like,
        torch.bernoulli,
        torch.multinomial,
        torch.normal,
        Tensor.bernoulli,
        Tensor.multinomial,
    ]
)
_OF_A_SIZE = frozenset([torch.rand, torch.randn, torch.randint, torch.normal])
_IN_PLACE = frozenset(
    [
        Tensor.bernoulli_,
        Tensor.cauchy_,
        Tensor.exponential_,
        Tensor.geometric_,
        Tensor.log_normal_,
        Tensor.normal_,
        Tensor.random_,
        Tensor.uniform_,
    ]
)


def random_rows(batch: Mapping[str, Tensor]) -> AbstractContextManager[object]:
    """Within it, random numbers are those that one process would sample for the whole batch.

    Fields of samples that differ in size are padded share by share: masks over those are as good, but others.

    Args:
        batch: this process's share, [samples, ...] in each field; the shares are equally long.
    """
    if world_size() == 1:
        return nullcontext()
    return _RowsOfAll(len(next(iter(batch.values()))), rank(), world_size())


def same_random_rows() -> Callable[[], AbstractContextManager[object]]:
    """What opens the `random_rows` of this moment again: a backward pass, which torch takes outside of them,
    may compute again what sampled."""
    rows = _RowsOfAll.active
    return nullcontext if rows is None else lambda: rows


class _RowsOfAll(TorchFunctionMode):
    """Samples for all shares and takes one.

    The first axis is that of the samples (`[samples, ...]`, `[samples * time, ...]`), unless its length is no
    multiple of theirs and another has it (`[5, samples]`).

    Args:
        num_rows: samples of the share.
        number: of the share, from 0.
        num_shares: of the batch.

    Attributes:
        active: the one within which this process computes.
    """

    active: ClassVar["_RowsOfAll | None"] = None

    def __init__(self, num_rows: int, number: int, num_shares: int) -> None:
        super().__init__()
        self._num_rows = num_rows
        self._number = number
        self._num_shares = num_shares
        self._around: list[_RowsOfAll | None] = []

    def __enter__(self) -> "_RowsOfAll":
        self._around.append(_RowsOfAll.active)
        _RowsOfAll.active = self
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        _RowsOfAll.active = self._around.pop()
        super().__exit__(*error)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if kwargs.get("generator") is None:
            if func in _OF_TENSORS and any(isinstance(one, Tensor) and one.dim() for one in args[:2]):
                return self._of_tensors(func, args, kwargs)
            if func in _OF_A_SIZE:
                return self._of_a_size(func, args, kwargs)
            if func in _IN_PLACE and args[0].dim():
                whole = self._repeated(args[0].detach())
                func(whole, *args[1:], **kwargs)
                return args[0].copy_(self._own(whole, self._axis(args[0].shape), args[0].shape))
        return func(*args, **kwargs)

    def _of_tensors(self, func: Callable[..., Tensor], args: Any, kwargs: Any) -> Tensor:
        shape = next(one.shape for one in args if isinstance(one, Tensor) and one.dim())
        repeated = [
            self._repeated(one) if isinstance(one, Tensor) and one.shape == shape else one for one in args
        ]
        return self._own(func(*repeated, **kwargs), self._axis(shape), shape)

    def _of_a_size(self, func: Callable[..., Tensor], args: Any, kwargs: Any) -> Tensor:
        if "size" in kwargs:
            before, size = args, list(kwargs.pop("size"))
        elif isinstance(args[-1], int):  # torch.rand(3, 4)
            before, size = (), list(args)
        else:
            before, size = args[:-1], list(args[-1])
        if not size:
            return func(*before, size, **kwargs)
        axis = self._axis(size)
        whole = [*size[:axis], size[axis] * self._num_shares, *size[axis + 1 :]]
        return self._own(func(*before, whole, **kwargs), axis, size)

    def _axis(self, shape: Any) -> int:
        leads = shape[0] % self._num_rows == 0 or self._num_rows not in shape
        return 0 if leads else list(shape).index(self._num_rows)

    def _repeated(self, share: Tensor) -> Tensor:
        return torch.cat([share] * self._num_shares, self._axis(share.shape))

    def _own(self, whole: Tensor, axis: int, shape: Any) -> Tensor:
        return whole.narrow(axis, self._number * shape[axis], shape[axis])
