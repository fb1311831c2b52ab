"""Tensors whose rows belong to processes that train together: put together for a checkpoint, shared out
after it."""

from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, distributed

T = TypeVar("T")


def of_all_workers(mine: Float[Tensor, "mine ..."]) -> Float[Tensor, "all ..."]:
    """The rows of all processes, the first one's first; each process has as many."""
    if not distributed.is_initialized():
        return mine
    parts = [torch.empty_like(mine) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, mine.contiguous())
    return torch.cat(parts)


def lists_of_all_workers(mine: list[T]) -> list[T]:
    """What the lists of all processes hold, the first one's first."""
    if not distributed.is_initialized():
        return mine
    parts: list[list[T]] = [[] for _ in range(distributed.get_world_size())]
    distributed.all_gather_object(parts, mine)
    return [one for part in parts for one in part]


def of_this_worker(rows: Float[Tensor, "all ..."]) -> Float[Tensor, "mine ..."]:
    """This process's share of the rows of all."""
    if not distributed.is_initialized():
        return rows
    return rows.tensor_split(distributed.get_world_size())[distributed.get_rank()]
