"""One process of the collective that a health check tries: adds up the ranks with its neighbours.

python -m modules.health.collective_member gloo 2 0 /tmp/store
"""

import os
import sys
from datetime import timedelta

import torch
from torch import distributed
from torch._C._distributed_c10d import FileStore

_TIMEOUT = timedelta(seconds=60)


def add_up(backend: str, size: int, rank: int, store: str) -> int:
    """Joins a process group and returns the sum of all ranks.

    Args:
        backend: gloo or nccl.
        size: how many processes.
        rank: of this one.
        store: a file through which they meet.
    """
    if backend == "gloo" and sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    meeting = FileStore(store, size)
    distributed.init_process_group(backend, store=meeting, rank=rank, world_size=size, timeout=_TIMEOUT)
    device = torch.device("cuda", rank) if backend == "nccl" else torch.device("cpu")
    numbers = torch.full((1024,), rank, device=device)
    distributed.all_reduce(numbers)
    distributed.destroy_process_group()
    (total,) = set(numbers.tolist())
    return total


if __name__ == "__main__":
    _, backend, size, rank, store = sys.argv
    total = add_up(backend, int(size), int(rank), store)
    expected = sum(range(int(size)))
    if total != expected:
        sys.exit(f"the sum of all ranks is {total} and not {expected}")
