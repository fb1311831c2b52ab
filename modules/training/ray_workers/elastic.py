"""How many workers train: of `runtime.min_workers` to `runtime.num_workers`, as many as there is room for.

Nodes that are leaving (Ray's notice before a preemption) count no more: the workers save and begin again on
those that stay, before the node is taken. Batches are the same whatever the number, and so is their order.
"""

import time
from collections.abc import Collection
from typing import Any

from modules.cluster.capacity import room_for_workers
from modules.configuration.schema.settings import RuntimeSettings

_LOOK_EVERY_S = 2.0
_SETTLED_S = 10.0
"""So long there has to be room for more before all begin again."""


class Elastic:
    """Says when another number of workers should train.

    Args:
        runtime: the fewest and the most, and what each takes.
        batch_size: which they have to share evenly.
        num_workers: that train now.
        kept_out: ids of nodes that are not to have any.
    """

    def __init__(
        self, runtime: RuntimeSettings, batch_size: int, num_workers: int, kept_out: Collection[str]
    ) -> None:
        self._runtime, self._batch_size, self._num_workers = runtime, batch_size, num_workers
        self._kept_out = kept_out
        self._look_s = time.monotonic() + _LOOK_EVERY_S
        self._more_since_s: float | None = None

    def another_number(self) -> bool:
        """Whether there is no room any more for those that train, or for a while has been for more."""
        if self._runtime.min_workers is None or time.monotonic() < self._look_s:
            return False
        self._look_s = time.monotonic() + _LOOK_EVERY_S
        most = most_workers(self._runtime, self._batch_size, self._kept_out)
        if most < self._num_workers:
            return True
        if most <= self._num_workers or self._free() < most - self._num_workers:
            self._more_since_s = None
            return False
        self._more_since_s = self._more_since_s or time.monotonic()
        return time.monotonic() >= self._more_since_s + _SETTLED_S

    def _free(self) -> int:
        """How many more workers nodes have room for beside all that runs there."""
        from ray._private.state import available_resources_per_node

        without = _leaving().union(self._kept_out)
        free = available_resources_per_node()
        return room_for_workers([free[node] for node in free if node not in without], self._runtime)


def most_workers(runtime: RuntimeSettings, batch_size: int, kept_out: Collection[str] = ()) -> int:
    """The most workers that the cluster's nodes hold and that share a batch evenly; the fewest, which wait
    for room, if it does not hold these."""
    if runtime.min_workers is None:
        return runtime.num_workers
    room = min(room_without(_leaving().union(kept_out), runtime), runtime.num_workers)
    fewest = runtime.min_workers
    return next((number for number in range(room, fewest, -1) if batch_size % number == 0), fewest)


def can_do_without(hosts: dict[str, str], runtime: RuntimeSettings) -> dict[str, str]:
    """Which of some nodes workers are to be kept out of: those that live, and none where the others have not
    enough room.

    Args:
        hosts: of the nodes, by their ids.
        runtime: what a worker takes, and the fewest of them.
    """
    living = {node["NodeID"] for node in _living()}
    hosts = {node: host for node, host in hosts.items() if node in living}
    return hosts if room_without(hosts, runtime) >= runtime.fewest_workers else {}


def room_without(nodes: Collection[str], runtime: RuntimeSettings) -> int:
    """The workers that the cluster's other nodes hold, whatever else runs there.

    Args:
        nodes: ids of those that do not count.
        runtime: what a worker takes.
    """
    others = [node["Resources"] for node in _living() if node["NodeID"] not in nodes]
    return room_for_workers(others, runtime)


def _living() -> list[dict[str, Any]]:
    import ray

    return [node for node in ray.nodes() if node["Alive"]]


def _leaving() -> set[str]:
    """Ids of the nodes that Ray was told to give up."""
    from ray._private import worker

    driver: Any = worker.global_worker
    return set(driver.gcs_client.get_draining_nodes())
