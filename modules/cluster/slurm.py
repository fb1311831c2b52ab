"""SLURM: a job as a batch script, which lies with its code, log and token in <storage>/jobs/<name>/.

The code is a copy: what is edited while the job is queued, or between two of its runs, changes nothing.
"""

import os
import secrets
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

from modules.cluster.cluster_settings import SlurmCluster
from modules.cluster.job import Job, Record
from modules.configuration.errors import UserError

_POLL_S = 1.0
# Of `squeue`'s states, those in which a job may still write to its log.
_ALIVE = ("PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "REQUEUED", "SUSPENDED", "STOPPED", "RESIZING")


def check_there() -> None:
    """Refuses a machine without SLURM, or whose SLURM does not answer.

    Raises:
        UserError: so it is.
    """
    _slurm("sinfo", "--noheader", "--format=%P")


def folder_of(job: Job, settings: SlurmCluster) -> Path:
    """Where the job's files lie."""
    return Path(settings.storage).absolute() / "jobs" / job.name


def script(job: Job, settings: SlurmCluster) -> str:
    """The batch script."""
    folder = folder_of(job, settings)
    options = {
        "job-name": job.name,
        "nodes": settings.num_nodes,
        "ntasks-per-node": 1,
        "cpus-per-task": settings.cpus_per_node,
        "gpus-per-node": settings.gpus_per_node or None,
        "mem": settings.memory_per_node,
        "time": settings.time_limit,
        "partition": settings.partition,
        "account": settings.account,
        "qos": settings.qos,
        "constraint": settings.constraint,
        "chdir": folder / "code",
        "output": folder / "log.txt",
        "open-mode": "append",
        "signal": f"B:TERM@{settings.grace_s}",
    }
    head = [f"#SBATCH --{name}={value}" for name, value in options.items() if value is not None]
    python = settings.python or sys.executable
    command = shlex.join(["cluster/slurm/ray_nodes.sh", python, *job.arguments])
    return "\n".join(
        [
            "#!/bin/bash",
            *head,
            "#SBATCH --requeue",
            "set -eo pipefail",
            *settings.setup,
            f"export TRAINYARD_PYTHON={shlex.quote(python)}",
            f"export PATH={shlex.quote(str(Path(python).parent))}:$PATH",
            f"export RAY_AUTH_TOKEN_PATH={shlex.quote(str(folder / 'token'))}",
            f"exec bash {command}",
            "",
        ]
    )


def submit(job: Job, settings: SlurmCluster) -> Record:
    """Copies the code to the storage and queues the job.

    Raises:
        UserError: the storage cannot be written, or SLURM refuses the job.
    """
    folder = folder_of(job, settings)
    if any(character in str(folder) for character in "\n\"'%\\ "):
        raise UserError(
            f"{folder}: SLURM takes no blanks, quotes, % or \\ in a path", "Choose another cluster.storage"
        )
    # What no node can ever give would otherwise wait in the queue for ever.
    _slurm("sbatch", "--test-only", text=script(job, settings))
    try:
        job.package.write_folder(folder / "code")
        with os.fdopen(os.open(folder / "token", os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
        path = folder / "job.sbatch"
        path.write_text(script(job, settings))
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror}", "Set cluster.storage") from error
    try:
        number = _slurm("sbatch", "--parsable", str(path)).split(";")[0].strip()
    except UserError:
        shutil.rmtree(folder)
        raise
    where = {"number": number, "folder": str(folder)}
    return Record(job.name, "slurm", job.typed, time.time(), where)


def follow(record: Record) -> int:
    """Prints a job's log from its beginning until the job has ended, through every time it is queued again.

    Returns:
        0 if it succeeded.
    """
    log = Path(record.where["folder"]) / "log.txt"
    print(f"SLURM's job {record.where['number']}, log {log}", flush=True)
    position, said = 0, ""
    while True:
        state = _state(record)
        if log.exists():
            with log.open("rb") as file:
                file.seek(position)
                sys.stdout.buffer.write(file.read())
                position = file.tell()
        if state != said:
            print(f"{record.name}: {state}")
        sys.stdout.flush()
        if state.split()[0] not in _ALIVE:
            return 0 if state == "COMPLETED" else 1
        said = state
        time.sleep(_POLL_S)


def status(record: Record) -> str:
    """SLURM's word for a job's state, and why it waits."""
    return _state(record)


def cancel(record: Record) -> str:
    """Has SLURM end the job: SIGTERM, and SIGKILL after the cluster's KillWait."""
    _slurm("scancel", record.where["number"])
    return "was asked to stop"


def _state(record: Record) -> str:
    """From the controller, which forgets a job minutes after its end; then from accounting, if any."""
    number = record.where["number"]
    try:
        shown = _slurm("scontrol", "--oneliner", "show", "job", number)
    except UserError as error:
        if "Invalid job id" not in str(error):
            raise
        shown = ""
    words = shown.split()
    if f"JobName={record.name}" in words:
        known = dict(word.split("=", 1) for word in words if word.startswith(("JobState=", "Reason=")))
        why = "" if known["Reason"] in ("None", "(null)") else f" ({known['Reason']})"
        return known["JobState"] + why
    try:
        accounted = _slurm(
            "sacct", "--noheader", "--parsable2", "--allocations", "--format=State", "--jobs", number
        )
    except UserError:
        accounted = ""
    return accounted.split()[0] if accounted.split() else "UNKNOWN: SLURM has forgotten it, see its log"


def _slurm(*command: str, text: str | None = None) -> str:
    if shutil.which(command[0]) is None:
        raise UserError(f"{command[0]} is missing: no SLURM here", "Submit from a login node of the cluster")
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        raise UserError(f"SLURM does not answer: {command[0]}") from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        said = (
            lines[-1].removeprefix(f"{command[0]}: ").removeprefix("error: ") if lines else "no reason given"
        )
        raise UserError(f"SLURM's {command[0]} refuses: {said}")
    return done.stdout
