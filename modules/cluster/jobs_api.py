"""Ray's Jobs API: a job sent to the head of a cluster over HTTP, followed, asked after and cancelled.

Ray runs an entrypoint through a shell; ours is quoted word by word, and the shell finds words and no more.
"""

import contextlib
import logging
import os
import shlex
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.cluster.code_package import size
from modules.cluster.connection import refused_token
from modules.cluster.job import Job, Record
from modules.cluster.token import find_token
from modules.configuration.errors import UserError
from modules.configuration.schema.execution_settings import RuntimeSettings

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

_PATIENCE_S = 5.0


def request(job: Job, python: str, grace_s: int) -> dict[str, Any]:
    """What the Jobs API is asked for; the working folder is added once it is uploaded.

    Args:
        job: to be sent.
        python: the interpreter on the head.
        grace_s: seconds between SIGTERM and SIGKILL when it is cancelled.
    """
    return {
        "submission_id": job.name,
        "entrypoint": shlex.join([python, *job.arguments]),
        "runtime_env": {"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(grace_s)}},
        "metadata": {"name": job.name},
    }


def check_size(num_bytes: int) -> None:
    """Refuses an archive that the Jobs API would refuse after it was sent.

    Raises:
        UserError: it is too large.
    """
    limit = upload_limit()
    if num_bytes >= limit:
        raise UserError(
            f"the job's files take {size(num_bytes)}, Ray accepts {size(limit)}",
            "Put the shards where every node sees them and name the folder: cluster.storage=/...",
        )


def upload_limit() -> int:
    """The largest upload in bytes: the dashboard's limit of a request, and that of the store behind it."""
    from ray._private.ray_constants import DASHBOARD_CLIENT_MAX_SIZE
    from ray._private.runtime_env.packaging import GCS_STORAGE_MAX_SIZE

    return min(DASHBOARD_CLIENT_MAX_SIZE, GCS_STORAGE_MAX_SIZE)


def submit(address: str, job: Job, python: str, grace_s: int, kind: str = "ray") -> Record:
    """Uploads a job's files and starts it.

    Args:
        address: of the dashboard.
        job: to be sent.
        python: the interpreter on the head.
        grace_s: seconds between SIGTERM and SIGKILL when it is cancelled.
        kind: of cluster, for the record.

    Raises:
        UserError: no cluster answers, it refuses the token or the job.
    """
    client = connect_jobs(address)
    asked = request(job, python, grace_s)
    with tempfile.TemporaryDirectory() as folder, _faults(address):
        archive = Path(folder) / f"{job.name}.zip"
        check_size(job.package.write_zip(archive))
        asked["runtime_env"]["working_dir"] = str(archive)
        client.submit_job(**asked)
    return Record(job.name, kind, job.typed, time.time(), {"address": address})


def follow(record: Record) -> int:
    """Prints a job's log until it ends.

    Returns:
        0 if it succeeded.
    """
    import asyncio

    client = connect_jobs(record.where["address"])

    async def tail() -> None:
        async for lines in client.tail_job_logs(record.name):
            print(lines, end="", flush=True)

    with _faults(record.where["address"]):
        asyncio.run(tail())
        info = client.get_job_info(record.name)
    print(f"{record.name}: {info.status.value}")
    return 0 if info.status.value == "SUCCEEDED" else 1


def status(record: Record) -> str:
    """Ray's word for a job's state, and why where it failed."""
    address = record.where["address"]
    client = connect_jobs(address)
    with _faults(address):
        info = client.get_job_info(record.name)
    state = info.status.value
    return f"{state}: {_first_line(RuntimeError(info.message))}" if state == "FAILED" else state


def cancel(record: Record) -> str:
    """Asks a job to save and end; Ray kills it after its grace."""
    client = connect_jobs(record.where["address"])
    with _faults(record.where["address"]):
        running = client.stop_job(record.name)
    return "was asked to stop" if running else "had ended already"


def check_resources(address: str, runtime: RuntimeSettings) -> None:
    """Refuses what would wait for ever on a cluster as it is now.

    Raises:
        UserError: the cluster has less than the workers need.
    """
    client = connect_jobs(address)
    with _faults(address):
        reply = client._do_request("GET", "/api/v0/nodes?detail=1").json()
    nodes = [
        node["resources_total"] for node in reply["data"]["result"]["result"] if node["state"] == "ALIVE"
    ]
    for resource, each in runtime.each_worker.items():
        there = sum(node.get(resource, 0) for node in nodes)
        needed = each * runtime.fewest_workers
        if needed > there:
            raise UserError(
                f"runtime: {runtime.fewest_workers} workers want {needed:g} {resource}s,"
                f" the cluster at {address} has {there:g}",
                f"Lower runtime.num_workers or runtime.{resource.lower()}s_per_worker",
            )


def connect_jobs(address: str) -> "JobSubmissionClient":
    """Ray's client of the Jobs API, once it is known that a cluster answers.

    Raises:
        UserError: none does, or it refuses the token.
    """
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    import requests

    token = find_token()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        reply = requests.get(f"{address}/api/version", headers=headers, timeout=_PATIENCE_S)
    except requests.RequestException:
        raise UserError(
            f"no Ray dashboard answers at {address}",
            "Name that of a running cluster: cluster.address=http://...",
        ) from None
    if reply.status_code in (401, 403):
        raise refused_token(f"the cluster at {address}", token)
    if reply.status_code != 200 or "ray_version" not in reply.text:
        raise UserError(f"{address} is no Ray dashboard (HTTP {reply.status_code})")
    from ray.job_submission import JobSubmissionClient

    logging.getLogger("ray").setLevel(logging.ERROR)
    logging.getLogger("ray.dashboard.modules.dashboard_sdk").setLevel(logging.ERROR)
    logging.getLogger("ray.dashboard.modules.job.sdk").setLevel(logging.ERROR)
    os.environ.pop("RAY_API_SERVER_ADDRESS", None)  # it would win over the address that is asked for
    os.environ.pop("RAY_ADDRESS", None)
    return JobSubmissionClient(address, headers=headers)


@contextlib.contextmanager
def _faults(address: str) -> Iterator[None]:
    """A refusal of the Jobs API in one line."""
    import aiohttp
    import requests

    try:
        yield
    except (requests.RequestException, aiohttp.ClientError, ConnectionError) as error:
        raise UserError(f"the cluster at {address} went away: {_first_line(error)}") from error
    except RuntimeError as error:
        raise UserError(f"the cluster at {address} refused: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
