"""Tensors of which each worker holds a shard, and what is asked of them as a whole.

A tensor that is not sharded is its own whole, so that what reads weights need not know how they are held.
What gathers is asked by all workers at the same time, in the same order.
"""

from collections.abc import Iterable, Mapping
from typing import Any, cast

from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor

from modules.training.data_parallel import highest, rank


def is_sharded(tensors: Iterable[Tensor]) -> bool:
    """Whether each worker holds but a shard of some of them."""
    return any(isinstance(tensor, DTensor) for tensor in tensors)


def local_of(tensor: Tensor) -> Tensor:
    """What this worker holds of a tensor, without a copy."""
    return cast(Tensor, tensor.to_local()) if isinstance(tensor, DTensor) else tensor


def whole_of(tensor: Tensor) -> Tensor:
    """The whole of a tensor, in each worker."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def whole_state(state: Mapping[str, Any]) -> dict[str, Any]:
    """A state with the whole of each tensor on the CPU, in the first worker; in the others without them.

    No worker but the first holds more than one whole tensor at a time. A state of which nothing is sharded is
    left as it is.

    Args:
        state: tensors and plain containers, by any key.
    """
    return _whole(dict(state))


def _whole(value: Any) -> Any:
    if isinstance(value, DTensor):
        whole = whole_of(value.detach())
        return whole.cpu() if rank() == 0 else None
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_whole(item) for item in value)
    return value


def shard_like(whole: Tensor, like: Tensor) -> Tensor:
    """This worker's shard of a whole tensor, cut as another one is; nothing is sent.

    Args:
        whole: the same in each worker.
        like: of the same shape; where it is not sharded, `whole` stays whole.
    """
    if not isinstance(like, DTensor):
        return whole
    whole = whole.to(like.device)
    cut = distribute_tensor(whole, like.device_mesh, like.placements, src_data_rank=None)
    return cut.clone()  # a view would keep the whole


def everywhere(found: bool, tensors: Iterable[Tensor]) -> bool:
    """Whether what this worker has found of its shards of some tensors holds for those of all workers."""
    return not highest(int(not found)) if is_sharded(tensors) else found
