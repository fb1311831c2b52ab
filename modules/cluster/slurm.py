"""SLURM: a job as a batch script, which lies with its code, log and token in <storage>/jobs/<name>/.

A sweep may be an array of jobs, each of which trains a part of the trials, and a last one that gathers them.

The code is a copy: what is edited while the job is queued, or between two of its runs, changes nothing.
"""

import os
import secrets
import shlex
import shutil
import sys
import tempfile
import time
from pathlib import Path

from modules.cluster.cluster_settings import SlurmCluster
from modules.cluster.job import Job, Record
from modules.cluster.slurm_commands import read_from, remove_folder, send_folder, slurm
from modules.configuration.errors import UserError

_POLL_S = 1.0
_SCRIPT, _ARRAY_SCRIPT = "job.sbatch", "array.sbatch"
# Of `squeue`'s states, those in which a job may still write to its log.
_ALIVE = ("PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "REQUEUED", "SUSPENDED", "STOPPED", "RESIZING")


def check_there(settings: SlurmCluster) -> None:
    """Refuses a machine without SLURM, or whose SLURM does not answer, and a login node likewise.

    Raises:
        UserError: so it is.
    """
    slurm(settings.login, "sinfo", "--noheader", "--format=%P")


def folder_of(job: Job, settings: SlurmCluster) -> Path:
    """Where the job's files lie."""
    return Path(settings.storage).absolute() / "jobs" / job.name


def scripts(job: Job, settings: SlurmCluster) -> dict[str, str]:
    """The batch scripts by the names of their files, in the order in which they are queued."""
    if settings.array is None:
        return {_SCRIPT: _script(job, settings, None)}
    return {_ARRAY_SCRIPT: _script(job, settings, settings.array), _SCRIPT: _script(job, settings, None)}


def _script(job: Job, settings: SlurmCluster, array: int | None) -> str:
    folder = folder_of(job, settings)
    options = {
        "job-name": job.name,
        "nodes": settings.num_nodes,
        "ntasks-per-node": 1,
        "cpus-per-task": settings.cpus_per_node,
        "gpus-per-node": ":".join(filter(None, [settings.gpu_type, str(settings.gpus_per_node or "")]))
        or None,
        "mem": settings.memory_per_node,
        "time": settings.time_limit,
        "partition": settings.partition,
        "account": settings.account,
        "qos": settings.qos,
        "constraint": settings.constraint,
        # The job that gathers an array's runs waits for that alone.
        "dependency": settings.dependency if array == settings.array else None,
        "array": array and f"1-{array}",
        "chdir": folder / "code",
        "output": folder / ("log-%a.txt" if array else "log.txt"),
        "open-mode": "append",
        "signal": f"B:TERM@{settings.grace_s}",
    }
    if taken := [option for option in settings.options if option.partition("=")[0] in options]:
        raise UserError(f"cluster.options={taken[0]} is set by other keys", "See conf/cluster/slurm.yaml")
    head = [f"#SBATCH --{name}={value}" for name, value in options.items() if value is not None]
    head += [f"#SBATCH --{option}" for option in settings.options]
    elsewhere = settings.login is not None or settings.container is not None
    python = settings.python or ("python" if elsewhere else sys.executable)
    command = shlex.join(["cluster/slurm/ray_nodes.sh", python, *job.arguments])
    if array:
        command += f" sweep.part=$SLURM_ARRAY_TASK_ID/{array}"
    return "\n".join(
        [
            "#!/bin/bash",
            *head,
            "#SBATCH --requeue",
            "set -eo pipefail",
            *settings.setup,
            f"export TRAINYARD_PYTHON={shlex.quote(python)}",
            *([f"export PATH={shlex.quote(str(Path(python).parent))}:$PATH"] if "/" in python else []),
            *(f"export {name}={shlex.quote(words)}" for name, words in _container(settings).items()),
            *([f"export TRAINYARD_HEALTH_IN={shlex.quote(str(folder))}"] if settings.health_check else []),
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
    written = scripts(job, settings)
    for text in written.values():
        slurm(settings.login, "sbatch", "--test-only", text=text)
    if settings.login is None:
        try:
            _write(job, written, folder)
        except OSError as error:
            raise UserError(f"{folder} cannot be written: {error.strerror}", "Set cluster.storage") from error
    else:
        with tempfile.TemporaryDirectory() as temporary:
            _write(job, written, Path(temporary))
            send_folder(settings.login, Path(temporary), folder)
    numbers: list[str] = []
    try:
        for name in written:
            after = [f"--dependency=afterany:{number}" for number in numbers]
            said = slurm(settings.login, "sbatch", "--parsable", *after, str(folder / name))
            numbers.append(said.split(";")[0].strip())
    except UserError:
        if numbers:
            slurm(settings.login, "scancel", *numbers)
        if settings.login is None:
            shutil.rmtree(folder)
        else:
            remove_folder(settings.login, folder)
        raise
    *array, number = numbers
    where = {"number": number, "array": array, "folder": str(folder), "login": settings.login}
    return Record(job.name, "slurm", job.typed, time.time(), where)


def follow(record: Record) -> int:
    """Prints a job's log from its beginning until the job has ended, through every time it is queued again.

    Returns:
        0 if it succeeded.
    """
    log = Path(record.where["folder"]) / "log.txt"
    for number in record.where.get("array", ()):
        print(f"SLURM's array {number}, logs {log.with_name('log-*.txt')}, then")
    print(f"SLURM's job {record.where['number']}, log {log}", flush=True)
    position, said = 0, ""
    while True:
        state = _state(record)
        text = _read(record, log, position)
        sys.stdout.buffer.write(text)
        position += len(text)
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
    slurm(record.where.get("login"), "scancel", record.where["number"], *record.where.get("array", ()))
    return "was asked to stop"


def _write(job: Job, written: dict[str, str], folder: Path) -> None:
    """Code, token and scripts."""
    job.package.write_folder(folder / "code")
    with os.fdopen(os.open(folder / "token", os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        file.write(secrets.token_hex(32))
    for name, text in written.items():
        (folder / name).write_text(text)


def _container(settings: SlurmCluster) -> dict[str, str]:
    """What cluster/slurm/ray_nodes.sh has to know to run everything in a container."""
    if settings.container is None:
        return {}
    storage = str(Path(settings.storage).absolute())
    if settings.container_runtime == "pyxis":
        own = [f"--container-image={settings.container}", f"--container-mounts={storage}:{storage}"]
        return {"TRAINYARD_SRUN_OPTIONS": " ".join(own)}
    gpus = ["--nv"] if settings.gpus_per_node else []
    words = ["apptainer", "exec", *gpus, "--bind", storage, settings.container]
    return {"TRAINYARD_CONTAINER": " ".join(words)}


def _read(record: Record, log: Path, position: int) -> bytes:
    login = record.where.get("login")
    if login is not None:
        return read_from(login, log, position)
    if not log.exists():
        return b""
    with log.open("rb") as file:
        file.seek(position)
        return file.read()


def _state(record: Record) -> str:
    """From the controller, which forgets a job minutes after its end; then from accounting, if any."""
    number, login = record.where["number"], record.where.get("login")
    try:
        shown = slurm(login, "scontrol", "--oneliner", "show", "job", number)
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
        accounted = slurm(
            login, "sacct", "--noheader", "--parsable2", "--allocations", "--format=State", "--jobs", number
        )
    except UserError:
        accounted = ""
    return accounted.split()[0] if accounted.split() else "UNKNOWN: SLURM has forgotten it, see its log"
