"""`runtime=ray`: a run is trained by workers of a Ray cluster, each on its share of every batch.

The driver, this side, holds the run's folder, shows what the first worker shows, hands on signals, and starts
the workers again from the last checkpoint when one of them or its node has died: no more than
`trainer.checkpoint_every_steps` and one block of steps are trained again. What the workers run is
`modules.training.ray_workers.ray_worker`. Imports neither torch nor Ray at its top: a refused command is
told at once.
"""

import math
import os
import socket
import time
import uuid
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL, SIGUSR1, Signals
from typing import TYPE_CHECKING, Any

from rich.console import Console

from modules.cluster.connection import connect
from modules.cluster.own_ray import RayDied, check_parts, leave
from modules.configuration.errors import UserError
from modules.configuration.plans.run_plan import Plan
from modules.configuration.schema.settings import RuntimeSettings
from modules.tracking.store import absolute_settings
from modules.training.ray_workers.elastic import Elastic, can_do_without, most_workers, room_without
from modules.training.ray_workers.mailbox import Mailbox, Sign, Trouble
from modules.training.ray_workers.workers import Workers
from modules.training.runs.interruption import Interrupted, Interruption
from modules.training.runs.run_folder import STUCK, RunFolder
from modules.training.runs.sessions import Began

if TYPE_CHECKING:
    from pytorch_lightning import Callback

RESIZE_SIGNAL, RESIZED = SIGUSR1, "another number of workers has room"
_LOOK_EVERY_S = 0.2
_PATIENCE_S = 30.0
_GOOD_BYE_S = 5.0
_ANSWER_S = 90.0  # a driver that has lost its subscription to Ray would wait for ever


def train_on_workers(
    plan: Plan,
    identity: str,
    shards: Path,
    folder: RunFolder,
    console: Console,
    callbacks: Sequence["Callback"] = (),
    began_s: float | None = None,
) -> None:
    """Trains a plan in its folder as `modules.training.runs.run.train` does, by workers of a Ray cluster.

    Args:
        plan: a plan whose shapes have been checked.
        identity: of the run.
        shards: the folder of its dataset; every node sees it.
        folder: held by this process; every node sees it.
        console: where progress is shown.
        callbacks: Lightning callbacks of one's own, of which every worker gets a copy.
        began_s: when the command began, in seconds since 1970; by default now.

    Raises:
        UserError: the training failed, or workers died too often; the last good checkpoint is kept.
        Interrupted: a signal asked to stop; the state is in the checkpoint.
    """
    runtime = plan.runtime
    connect(runtime)
    _check_nodes(runtime)
    own = dict(plan.configuration["runtime"])
    if runtime.accelerator == "auto" and not runtime.gpus_per_worker:
        own["accelerator"] = "cpu"  # the node's GPUs are others'
    job: dict[str, Any] = {
        "identity": identity,
        "shards": str(shards.absolute()),
        "folder": str(folder.path.absolute()),
        "console": {
            "force_terminal": console.is_terminal,
            "width": console.width,
            "quiet": console.quiet,
        },
        "callbacks": list(callbacks),
        "began": Began(time.time() if began_s is None else began_s, driver=uuid.uuid4().hex[:8]),
    }
    restarts_left = runtime.max_restarts
    kept_out: dict[str, str] = {}
    with Interruption() as interruption:
        while True:
            own["num_workers"] = num_workers = most_workers(runtime, plan.trainer.batch_size, kept_out)
            own["sharding"] = runtime.sharding if num_workers > 1 else "none"
            tracking = absolute_settings(plan.configuration["tracking"])
            job["plan"] = plan.changed(runtime=own, tracking=tracking)
            elastic = Elastic(runtime, plan.trainer.batch_size, num_workers, kept_out)
            try:
                died = _attempt(job, elastic, kept_out, console, interruption)
            except Gone as gone:
                died, kept_out[gone.worker.node] = str(gone), gone.worker.host
            if died is None:
                return
            interruption.stop()
            restarts_left -= died != RESIZED
            if restarts_left < 0:
                break
            connect(runtime)
            interruption.listen()  # Ray may just have taken SIGTERM
            kept_out = can_do_without(kept_out, runtime)
            without = f", without {' and '.join(kept_out.values())}" if kept_out else ""
            text = f"{died}: going on from the last checkpoint{without}"
            console.print(text, highlight=False, soft_wrap=True)
    hint = "The same command goes on from the last checkpoint"
    fault = UserError(f"{died}, and runtime.max_restarts={runtime.max_restarts} is used up", hint)
    _record_failure(plan, identity, shards, folder, fault)
    raise fault


def _check_nodes(runtime: RuntimeSettings) -> None:
    """Refuses workers that would wait for ever, because no node is big enough for them."""
    if not runtime.each_worker:
        raise UserError("runtime.cpus_per_worker and runtime.gpus_per_worker are both 0")
    room = room_without((), runtime)
    if room < runtime.fewest_workers:
        each = " and ".join(f"{number:g} {resource}" for resource, number in runtime.each_worker.items())
        raise UserError(
            f"the cluster has room for {room} workers of {each}, not for {runtime.fewest_workers}",
            f"Set runtime.num_workers={room}" if room else "Ask for less, or join a larger cluster",
        )


def _attempt(
    job: dict[str, Any],
    elastic: Elastic,
    kept_out: Collection[str],
    console: Console,
    interruption: Interruption,
) -> str | None:
    """Lets workers train until they have finished, have stopped as asked, or one of them has died.

    Args:
        job: what they train.
        elastic: says when another number of them should.
        kept_out: ids of nodes that are not to have any.
        console: where progress is shown.
        interruption: of the driver.

    Returns:
        What died, or RESIZED; None if they have finished.

    Raises:
        Gone: a worker kept the others from going on.
    """
    import ray
    from ray.exceptions import GetTimeoutError, RayActorError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    runtime: RuntimeSettings = job["plan"].runtime
    actor: Any = ray.remote(num_cpus=0)(Mailbox).options(scheduling_strategy=here)
    mailbox = actor.remote(runtime.worker_timeout_s)
    workers = Workers(job | {"mailbox": mailbox}, runtime, kept_out)
    try:
        _monitor(workers, mailbox, console, interruption, elastic, Path(job["folder"]))
    except (GetTimeoutError, RayActorError, RayDied, Gone) as error:
        leave()  # ends all that this driver has started
        if isinstance(error, Gone):
            raise
        return str(error) if isinstance(error, RayDied) else "the connection to Ray died"
    finally:
        console.show_cursor()  # a worker that was drawing may have died
        if ray.is_initialized():
            workers.end()
            ray.kill(mailbox)
    if workers.failures:
        return _what_died(workers.failures)
    if workers.stopped_by == RESIZE_SIGNAL:
        return RESIZED
    if workers.stopped_by is not None:
        raise Interrupted(Signals(workers.stopped_by))
    return None


def _monitor(
    workers: Workers,
    mailbox: Any,
    console: Console,
    interruption: Interruption,
    elastic: Elastic,
    folder: Path,
) -> None:
    """Shows what the workers show and hands on a signal, until the training ends.

    Raises:
        Gone: a worker kept the others from going on.
    """
    import ray

    waiting_until_s, told = time.monotonic() + _PATIENCE_S, False
    ended = False
    while not ended:
        ended = workers.wait(_LOOK_EVERY_S)
        check_parts()
        arrived, text, trouble = ray.get(mailbox.take.remote(), timeout=_ANSWER_S)
        console.file.write(text)
        console.file.flush()
        if not arrived and time.monotonic() > waiting_until_s:
            console.print("the workers have not started yet: is the cluster full?", highlight=False)
            waiting_until_s = math.inf
        if trouble is not None:
            _report(mailbox, folder)
            mailbox.end.remote(trouble.worker.rank)
            _put_an_end_to(trouble.worker)
            raise Gone(trouble)
        if told:
            continue
        if interruption.asked is not None:
            mailbox.stop.remote(interruption.asked.signal)
            told = True
        elif elastic.another_number():
            if not arrived:
                workers.stopped_by = RESIZE_SIGNAL  # before they have started
                return
            mailbox.stop.remote(RESIZE_SIGNAL)
            told = True


class Gone(Exception):
    """A worker that keeps the others from going on has been ended.

    Attributes:
        worker: its newest sign of life.
    """

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(f"{trouble.worker} {trouble.text}")
        self.worker = trouble.worker


def _report(mailbox: Any, folder: Path) -> None:
    """Keeps where each worker stands that still answers, in `stuck/` of the run's folder."""
    import ray

    until_s, whole, reports = time.monotonic() + _GOOD_BYE_S, False, {}
    while not whole and time.monotonic() < until_s:
        reports, whole = ray.get(mailbox.reports.remote(), timeout=_ANSWER_S)
        time.sleep(_LOOK_EVERY_S)
    stuck = folder / STUCK
    with suppress(OSError):  # a full disk ends the training where it keeps more than this
        stuck.mkdir(exist_ok=True)
        for rank, text in reports.items():
            (stuck / f"worker_{rank}.txt").write_text(text, encoding="utf-8")


def _put_an_end_to(worker: Sign) -> None:
    """Ends a worker that does not answer any more, where that can be done from here."""
    if worker.host == socket.gethostname():
        with suppress(ProcessLookupError, PermissionError):
            os.kill(worker.process, SIGKILL)


def _what_died(failures: dict[int, BaseException]) -> str:
    """What a training died of that can be tried again.

    Args:
        failures: by rank.

    Raises:
        UserError: a worker's; trying again would not help.
        BaseException: any other error.
    """
    from ray.exceptions import RayError

    from modules.training.ray_workers.ray_worker import ConnectionLost

    for failure in failures.values():
        if isinstance(failure, UserError):
            raise failure
    for rank, failure in failures.items():
        if isinstance(failure, RayError):
            return f"worker {rank} died"
    for failure in failures.values():
        if not isinstance(failure, ConnectionLost):
            raise failure
    return "a worker lost its connection"


def _record_failure(plan: Plan, identity: str, shards: Path, folder: RunFolder, fault: UserError) -> None:
    """Says in folder and tracker how the run ended, where no worker is left to say it."""
    from modules.training.runs.run import end_run, open_tracker

    end_run(folder, open_tracker(plan, identity, shards, folder, {}), "FAILED", str(fault))
