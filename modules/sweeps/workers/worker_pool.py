"""The pool: warm workers, as many as the cluster has room for, while nodes come and go."""

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modules.cluster.capacity import room_for_workers
from modules.cluster.own_ray import check_parts
from modules.configuration.errors import UserError
from modules.configuration.schema.execution_settings import RuntimeSettings
from modules.sweeps.workers.trial_worker import Assignment, Event, Worker

_LOOK_EVERY_S = 2.0  # for nodes that have come or gone
_MAX_FAILED_STARTS = 5


@dataclass(eq=False)
class PooledWorker:
    """One worker, as the controller sees it.

    Attributes:
        actor: Ray's handle.
        crash_log: where a crash leaves its stack.
        answer: what it is to answer next; None if it is idle.
        node: Ray's id of its node, once it is ready.
        pid: of its process, once it is ready.
        trials: numbers of the trials that it is training.
    """

    actor: Any
    crash_log: Path
    answer: Any
    node: str = ""
    pid: int = 0
    trials: list[int] = field(default_factory=list)


class Pool:
    """Workers of one kind.

    Args:
        runtime: what one trial needs; where the cluster is.
        trial: dotted name of the trial function.
        folder: for the workers' crash logs; every node must see it.

    Raises:
        UserError: no node of the cluster has what one trial needs.
    """

    def __init__(self, runtime: RuntimeSettings, trial: str, folder: Path) -> None:
        import ray

        folder.mkdir(parents=True, exist_ok=True)
        self._ray: Any = ray
        self._runtime = runtime
        self._trial = trial
        self._folder = folder
        self._workers: list[PooledWorker] = []
        self._looked_s = -_LOOK_EVERY_S
        self._num_slots = 0
        self._num_failed_starts = 0
        # A trial of several processes takes its resources itself.
        alone = runtime.num_workers == 1
        self._actor: Any = ray.remote(Worker).options(
            num_cpus=runtime.cpus_per_worker if alone else 0,
            num_gpus=runtime.gpus_per_worker if alone else 0,
            max_concurrency=2,
        )
        self._refuse_what_no_node_has()

    @property
    def num_slots(self) -> int:
        """Trials that the cluster has room for at a time."""
        if time.monotonic() - self._looked_s >= _LOOK_EVERY_S:
            self._looked_s = time.monotonic()
            room = room_for_workers([node["Resources"] for node in self._nodes()], self._runtime)
            self._num_slots = room // self._runtime.num_workers
        return self._num_slots

    @property
    def idle(self) -> list[PooledWorker]:
        """Workers that wait for a task."""
        return [worker for worker in self._workers if worker.answer is None]

    @property
    def busy(self) -> list[PooledWorker]:
        """Workers that have a task."""
        return [worker for worker in self._workers if worker.trials]

    @property
    def num_free(self) -> int:
        """Workers without a task, those that are still starting among them."""
        return len(self._workers) - len(self.busy)

    def grow(self, num_workers: int) -> None:
        """Starts workers until there are so many, or as many as there is room for."""
        while len(self._workers) < min(num_workers, self.num_slots):
            crash_log = self._folder / f"{uuid.uuid4().hex[:12]}.txt"
            actor = self._actor.remote(self._trial, str(crash_log))
            self._workers.append(PooledWorker(actor, crash_log, actor.ready.remote()))

    def begin(self, worker: PooledWorker, assignments: Sequence[Assignment]) -> None:
        """Hands a task to an idle worker."""
        worker.trials = [assignment["trial"] for assignment in assignments]
        worker.answer = worker.actor.begin.remote(assignments)

    def answer(self, worker: PooledWorker, decision: str) -> None:
        """Tells a worker the decision that it waits for."""
        worker.answer = worker.actor.answer.remote(decision)

    def wait(self, timeout_s: float) -> list[tuple[PooledWorker, Event]]:
        """The next events of all workers; none if none comes in time.

        A worker that died gives {"event": "died", "error", "node_died"} and is no longer in the pool.

        Raises:
            UserError: workers cannot be started.
            RayDied: this pool is of no use any more.
        """
        check_parts()
        waiting = {worker.answer: worker for worker in self._workers if worker.answer is not None}
        if not waiting:
            time.sleep(timeout_s)
            return []
        answers = list(waiting)
        if not self._ray.wait(answers, num_returns=1, timeout=timeout_s)[0]:
            return []
        ready = self._ray.wait(answers, num_returns=len(answers), timeout=0)[0]
        return [(waiting[answer], self._received(waiting[answer])) for answer in ready]

    def discard(self, worker: PooledWorker) -> None:
        """Ends a worker that nobody should use again."""
        self._workers.remove(worker)
        self._ray.kill(worker.actor)
        worker.crash_log.unlink(missing_ok=True)

    def interrupt(self) -> None:
        """Asks all tasks to save their state and end; workers that have none end now."""
        for worker in list(self._workers):
            if worker.trials:
                worker.actor.interrupt.remote()
            else:
                self.discard(worker)

    def close(self) -> None:
        """Ends all workers."""
        for worker in list(self._workers):
            self.discard(worker)

    def _received(self, worker: PooledWorker) -> Event:
        from ray.exceptions import ActorUnavailableError, RayError

        try:
            event: Event = self._ray.get(worker.answer)
        except ActorUnavailableError:
            # Its node may be dead and Ray not know it yet: another call ends when it does.
            worker.answer = worker.actor.ready.remote()
            return {"event": "unreachable"}
        except RayError as error:
            return self._died(worker, error)
        match event["event"]:
            case "ready" if worker.trials:
                return self._died(worker, ConnectionError("its answer was lost on the way"))
            case "ready":
                worker.node, worker.pid = event["node"], event["pid"]
                worker.answer = None
                self._num_failed_starts = 0
            case "done":
                worker.answer = None
        return event

    def _died(self, worker: PooledWorker, error: Exception) -> Event:
        self._workers.remove(worker)
        self._ray.kill(worker.actor)  # unreachable is not dead
        if not worker.node:
            self._num_failed_starts += 1
            if getattr(error, "actor_init_failed", False) or self._num_failed_starts >= _MAX_FAILED_STARTS:
                said = [line.strip() for line in str(error).splitlines() if line.strip()]
                raise UserError(f"workers cannot start: {said[-1]}") from error
        self._looked_s = -_LOOK_EVERY_S
        alive = {node["NodeID"] for node in self._nodes()}
        return {"event": "died", "error": error, "node_died": bool(worker.node) and worker.node not in alive}

    def _nodes(self) -> list[dict[str, Any]]:
        return [node for node in self._ray.nodes() if node["Alive"]]

    def _refuse_what_no_node_has(self) -> None:
        needed = {"cpus": self._runtime.cpus_per_worker, "gpus": self._runtime.gpus_per_worker}
        for kind, number in needed.items():
            there = [node["Resources"].get(kind[:-1].upper(), 0.0) for node in self._nodes()]
            largest = max(there, default=0)
            if number > largest:
                raise UserError(
                    f"runtime.{kind}_per_worker={number:g}: no node of the cluster has more than {largest:g}",
                    f"Set it to {largest:g} or less",
                )
        if self.num_slots == 0:
            raise UserError(
                f"runtime.num_workers={self._runtime.num_workers}: the cluster has no room for so many",
                "Set it lower, or join more nodes",
            )
