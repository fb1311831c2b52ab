"""One worker of a run that many train: what each of its processes runs.

The workers meet on the address of the first one's node and on no other interface: on a single machine, on
loopback.
"""

import ipaddress
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import Signals
from typing import Any

import psutil
import ray
from rich.console import Console
from torch import distributed
from torch._C._distributed_c10d import TCPStore

from modules.configuration.errors import UserError
from modules.configuration.plans.run_plan import Plan
from modules.tracking.system_metrics import SystemMonitor
from modules.training.data_parallel import all_workers
from modules.training.ray_workers.signs_of_life import signs_of_life
from modules.training.runs.interruption import Interrupted, Interruption
from modules.training.runs.run import train
from modules.training.runs.run_folder import RunFolder

_ASK_EVERY_S = 0.5
_RECORDED_COLLECTIVES = "200"


class ConnectionLost(Exception):
    """Another worker does not answer any more."""


def work(
    job: dict[str, Any], rank: int, size: int, meeting: tuple[str, int], listener: socket.socket | None
) -> int | None:
    """Trains this worker's share of a run.

    Args:
        job: see `modules.training.ray_workers.ray_training.train_on_workers`.
        rank: of this worker.
        size: how many work.
        meeting: host and port at which the first worker listens.
        listener: the first worker's socket there.

    Returns:
        The number of the signal that has stopped it; None once the run has been trained to its end.

    Raises:
        UserError: the training failed.
        ConnectionLost: another worker has died.
    """
    mailbox = job["mailbox"]
    mailbox.write.remote("")  # here we are
    with signs_of_life(mailbox, rank):
        if size > 1:
            backend = "nccl" if job["plan"].runtime.gpus_per_worker else "gloo"
            _meet(backend, rank, size, meeting, listener)
        return _work(job, mailbox, rank)


def _work(job: dict[str, Any], mailbox: Any, rank: int) -> int | None:
    folder, shards = RunFolder(Path(job["folder"])), Path(job["shards"])
    console = Console(quiet=True)
    if rank == 0:
        console = Console(file=_Relay(mailbox), **job["console"])  # pyright: ignore[reportArgumentType]
    interruption = Interruption()
    try:
        with _listening(mailbox, interruption, rank), _watched_node(folder, job["plan"], rank):
            train(
                job["plan"],
                job["identity"],
                shards,
                folder,
                console,
                job["callbacks"],
                interruption=interruption,
                began=job["began"],
            )
    except Interrupted as interrupted:
        return int(interrupted.signal)
    except UserError as error:
        raise UserError(error.problem, error.hint) from error  # its kinds do not travel
    except RuntimeError as error:
        if isinstance(error, distributed.DistError) or "gloo" in str(error):
            raise ConnectionLost(str(error)) from error
        raise
    finally:
        ray.get(mailbox.write.remote(""))  # comes after all that was written before
    return None


def _meet(
    backend: str, rank: int, size: int, meeting: tuple[str, int], listener: socket.socket | None
) -> None:
    """Joins the process group of all workers."""
    os.environ.setdefault("TORCH_FR_BUFFER_SIZE", _RECORDED_COLLECTIVES)
    if interface := _interface(ray.util.get_node_ip_address()):
        os.environ.setdefault("GLOO_SOCKET_IFNAME", interface)
        os.environ.setdefault("NCCL_SOCKET_IFNAME", interface)
    # torch would listen on every interface.
    listening = {"is_master": True, "master_listen_fd": listener.detach()} if listener else {}
    host, port = meeting
    store = TCPStore(host, port, size, wait_for_workers=False, **listening)
    distributed.init_process_group(backend, store=store, rank=rank, world_size=size)


def _interface(address: str) -> str | None:
    """The name of the network interface that has an address."""
    if ipaddress.ip_address(address).is_loopback:
        address = "127.0.0.1"  # whatever else of 127.0.0.0/8 a node is called
    for name, addresses in psutil.net_if_addrs().items():
        if any(own.address == address for own in addresses):
            return name
    return None


class _Relay:
    """A text file that is written at the driver's."""

    def __init__(self, mailbox: Any) -> None:
        self.mailbox = mailbox

    def write(self, text: str) -> int:
        self.mailbox.write.remote(text)
        return len(text)

    def flush(self) -> None:
        """Nothing waits here."""


@contextmanager
def _watched_node(folder: RunFolder, plan: Plan, rank: int) -> Iterator[None]:
    """System metrics of a node that has workers; those of the first worker's node its tracker takes."""
    tracking = plan.tracking
    nodes = all_workers(ray.get_runtime_context().get_node_id())
    here = nodes[rank]
    is_first_there = nodes.index(here) == rank > 0
    if not is_first_there or tracking.uri is None or not tracking.system_metrics_every_s:
        yield
        return
    folder.tracking.mkdir(parents=True, exist_ok=True)
    node = f"node_{list(dict.fromkeys(nodes)).index(here)}"
    monitor = SystemMonitor(folder.tracking, os.getpid(), tracking.system_metrics_every_s, node)
    monitor.start()
    try:
        yield
    finally:
        monitor.stop()


@contextmanager
def _listening(mailbox: Any, interruption: Interruption, rank: int) -> Iterator[None]:
    """Hands a signal that has come to the driver on to the training; the first worker does for all."""
    done = threading.Event()

    def listen() -> None:
        while not done.wait(_ASK_EVERY_S):
            if number := ray.get(mailbox.stopped_by.remote()):
                interruption.request(Interrupted(Signals(number)))
                return

    if rank == 0:
        threading.Thread(target=listen, name="listening", daemon=True).start()
    try:
        yield
    finally:
        done.set()
