"""The workers of one attempt: actors of a Ray placement group, on as few nodes as have room for them.

Imports neither torch nor Ray at its top: a driver needs the one late and the other never.
"""

import socket
import time
from collections.abc import Collection
from typing import Any

from modules.configuration.schema.settings import RuntimeSettings

_NODE_ID = "ray.io/node-id"  # a label of every node
_OTHERS_S = 2.0
"""So long after one failure the others may tell theirs: it may be the cause."""


class TrainingWorker:
    """An actor: a process that trains a share of each batch."""

    def __init__(self) -> None:
        self._listener: socket.socket | None = None

    def listen(self) -> tuple[str, int]:
        """Opens a port, on the address of its node alone, at which the other workers meet this one.

        Returns:
            Host and port.
        """
        import ray

        self._listener = socket.create_server((ray.util.get_node_ip_address(), 0))
        host, port = self._listener.getsockname()[:2]
        return host, port

    def work(self, job: dict[str, Any], rank: int, size: int, meeting: tuple[str, int]) -> int | None:
        """Trains: see `modules.training.ray_workers.ray_worker.work`.

        Args:
            job: what is trained.
            rank: of this worker.
            size: how many work.
            meeting: what the first worker's `listen` has returned.
        """
        from modules.training.ray_workers.ray_worker import work

        listener, self._listener = self._listener, None
        return work(job, rank, size, meeting, listener)


class Workers:
    """The driver's side of them.

    Args:
        job: what each gets.
        runtime: how many, and what each takes.
        kept_out: ids of nodes that are not to have any.
    """

    def __init__(self, job: dict[str, Any], runtime: RuntimeSettings, kept_out: Collection[str]) -> None:
        import ray

        self._size = runtime.num_workers
        self._job = ray.put(job)
        there = {_NODE_ID: f"!in({','.join(sorted(kept_out))})"} if kept_out else {}
        self._group = ray.util.placement_group(
            [runtime.each_worker] * self._size, strategy="PACK", bundle_label_selector=[there] * self._size
        )
        # Training leaves a process's main thread to Ray: signals to a worker are not the run's.
        self._worker: Any = ray.remote(TrainingWorker)
        self._options = {
            "num_cpus": runtime.cpus_per_worker,
            "num_gpus": runtime.gpus_per_worker,
            "max_concurrency": 2,
        }
        self._actors: list[Any] = []
        self._running: dict[Any, int] = {}
        self._failed_s: float | None = None
        self.stopped_by: int | None = None
        """Number of the signal at which they stopped."""
        self.failures: dict[int, BaseException] = {}
        """How workers failed, by rank."""

    def wait(self, seconds: float) -> bool:
        """Lets them go on for a while; whether they have ended, all of them or after a failure."""
        import ray
        from ray.exceptions import RayError, RayTaskError

        if not self._actors:
            if self._group.wait(seconds):
                self._start()
            return False
        ended, _ = ray.wait(list(self._running), num_returns=1, timeout=seconds)
        for ref in ended:
            rank = self._running.pop(ref)
            try:
                self.stopped_by = ray.get(ref)
            except RayTaskError as error:
                self.failures[rank] = error.cause
            except RayError as error:
                self.failures[rank] = error
        if self.failures and self._failed_s is None:
            self._failed_s = time.monotonic()
        patient = self._failed_s is None or time.monotonic() < self._failed_s + _OTHERS_S
        return not (self._running and patient)

    def end(self) -> None:
        """Ends them, wherever they stand."""
        import ray

        for actor in self._actors:
            ray.kill(actor)
        ray.util.remove_placement_group(self._group)

    def _start(self) -> None:
        """Those of a node get ranks that follow one another: their averages travel between nodes once."""
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        nodes = _nodes_of(self._group)
        bundles = sorted(range(self._size), key=lambda bundle: (nodes.index(nodes[bundle]), bundle))
        for bundle in bundles:
            there = PlacementGroupSchedulingStrategy(self._group, bundle)
            self._actors.append(self._worker.options(**self._options, scheduling_strategy=there).remote())
        meeting = self._actors[0].listen.remote()
        for rank, actor in enumerate(self._actors):
            self._running[actor.work.remote(self._job, rank, self._size, meeting)] = rank


def _nodes_of(group: Any) -> list[str]:
    """Ids of the nodes of a placement group's bundles."""
    import ray

    nodes = ray.util.placement_group_table(group)["bundles_to_node_id"]
    return [nodes[bundle] for bundle in range(len(nodes))]
