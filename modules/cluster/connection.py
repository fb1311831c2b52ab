"""The connection to Ray: a cluster that is there, or one of its own on this machine.

A Ray of its own keeps every socket on loopback and wants a token all the same. Whether a cluster answers and
takes the token is asked by one small call first: Ray's own driver would try for minutes.
"""

import atexit
import logging
import math
import os
from collections.abc import Mapping
from typing import Any

from modules.cluster.own_ray import guard, stop_listening
from modules.cluster.token import ensure_token, find_token
from modules.configuration.errors import UserError
from modules.configuration.schema.execution_settings import RuntimeSettings

_PATIENCE_S = 5.0
LOOPBACK = "127.0.0.1"


def connect(runtime: RuntimeSettings, num_cpus: int | None = None) -> None:
    """Joins the cluster that the settings name, or starts one on this machine; again does nothing.

    Args:
        runtime: its `address` says which.
        num_cpus: cores of a cluster of its own; by default all, and no fewer than the workers need.

    Raises:
        UserError: no cluster answers, it refuses the token, or it has less than the workers need.
    """
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else a worker without GPUs warns
    import ray

    if ray.is_initialized():
        return
    if runtime.address is None:
        os.environ.setdefault("RAY_enable_metrics_collection", "0")  # a port without a token
    read_environment()
    stay_on_loopback()
    _be_quiet()
    if runtime.address is None:
        _start(runtime, num_cpus)
    else:
        _join(runtime, runtime.address)
    atexit.unregister(stop_listening)
    atexit.register(stop_listening)


def _start(runtime: RuntimeSettings, num_cpus: int | None) -> None:
    import ray
    from ray._private.accelerators import get_accelerator_manager_for_resource

    ensure_token()
    manager = get_accelerator_manager_for_resource("GPU")
    num_gpus = manager.get_current_node_num_accelerators() if manager else 0
    needed = runtime.fewest_workers * runtime.gpus_per_worker
    if needed > num_gpus:
        raise UserError(
            f"runtime: {runtime.fewest_workers} workers want {needed:g} GPUs, this machine has {num_gpus}",
            "Lower runtime.gpus_per_worker",
        )
    # More workers than cores train slower, and right.
    cores = num_cpus or max(_num_cores(), math.ceil(runtime.num_workers * runtime.cpus_per_worker))
    ray.init(
        address="local",
        num_cpus=cores,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        _node_ip_address=LOOPBACK,
    )
    guard()


def _join(runtime: RuntimeSettings, name: str) -> None:
    import ray
    from ray._private.services import canonicalize_bootstrap_address

    try:
        address = canonicalize_bootstrap_address(name)
    except (ConnectionError, ValueError):
        address = None
    if address is None or "://" in address:
        why = "no Ray runs here" if name == "auto" else "no host:port"
        raise UserError(f"runtime.address={name}: {why}", "Name a cluster's head: runtime.address=host:6379")
    check_head(address)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (RuntimeError, ConnectionError, ValueError) as error:
        raise UserError(
            f"the cluster at {address} cannot be joined: {' '.join(str(error).split())}"
        ) from error
    _check_resources(runtime, ray.cluster_resources())


def check_head(address: str) -> None:
    """Asks the head of a cluster whether it is there, takes the token and runs the same Ray.

    Args:
        address: host:port of its global control service.

    Raises:
        UserError: it does not.
    """
    import grpc
    import ray
    from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc

    messages: Any = gcs_service_pb2  # its classes are made at run time
    token = find_token() if os.environ.get("RAY_AUTH_MODE") == "token" else None
    headers = (("authorization", f"Bearer {token}"),) if token else ()
    with grpc.insecure_channel(address) as channel:
        try:
            reply = gcs_service_pb2_grpc.NodeInfoGcsServiceStub(channel).CheckAlive(
                messages.CheckAliveRequest(), timeout=_PATIENCE_S, metadata=headers
            )
        except grpc.RpcError as error:
            code = error.code()  # pyright: ignore[reportAttributeAccessIssue]
            if code == grpc.StatusCode.UNAUTHENTICATED:
                raise refused_token(f"the cluster at {address}", token) from None
            raise UserError(
                f"no Ray cluster answers at {address} ({code.name})", "Name the head of a running one"
            ) from None
    if reply.ray_version != ray.__version__:
        raise UserError(
            f"the cluster at {address} runs Ray {reply.ray_version}, this is {ray.__version__}",
            f"Install there: ray[default]=={ray.__version__}",
        )


def refused_token(who: str, token: str | None) -> UserError:
    """The fault of a token that a cluster does not take."""
    if token is None:
        return UserError(
            f"{who} wants a token and there is none",
            "Copy the head's ~/.ray/auth_token here, or set RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH",
        )
    return UserError(f"{who} refuses the token", "It must equal the head's ~/.ray/auth_token")


def _check_resources(runtime: RuntimeSettings, there: Mapping[str, float]) -> None:
    """Refuses what would wait for ever."""
    for resource, each in runtime.each_worker.items():
        needed = runtime.fewest_workers * each
        if needed > there.get(resource, 0):
            raise UserError(
                f"runtime: {runtime.fewest_workers} workers want {needed:g} {resource}s,"
                f" the cluster has {there.get(resource, 0):g}",
                f"Lower runtime.num_workers or runtime.{resource.lower()}s_per_worker",
            )


def _num_cores() -> int:
    """Cores that this process may use: SLURM, for one, leaves a job some of the machine's."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def read_environment() -> None:
    """Lets Ray see RAY_AUTH_MODE although it may have been imported before that was set."""
    from ray import _raylet

    _raylet.Config.initialize("")  # pyright: ignore[reportAttributeAccessIssue]


def _be_quiet() -> None:
    """Ray prints each worker's death into the terminal; whoever uses the worker says what became of it."""
    from ray._private import worker

    worker.print_to_stdstream = lambda *printed, **options: None  # pyright: ignore[reportAttributeAccessIssue]


def stay_on_loopback() -> None:
    """Leaves 127.0.0.1 what it is: Ray takes it for this machine's outward address, and listens there."""
    from ray._private import services

    services.resolve_ip_for_localhost = lambda host: host
