"""A SLURM of this test run alone: munged, slurmctld and two slurmd on loopback, in a folder of their own."""

import getpass
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
NODES = ("n1", "n2")

_CONFIGURATION = """\
ClusterName=trainyard
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
MinJobAge=600
KillWait=60
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs={cpus} State=UNKNOWN
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs={cpus} State=UNKNOWN
PartitionName=low Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=high Nodes=n1,n2 MaxTime=INFINITE State=UP PriorityTier=2 PreemptMode=OFF
"""


def missing() -> list[str]:
    """The programs of SLURM that are not installed."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    return [program for program in PROGRAMS if shutil.which(program, path=path) is None]


class Slurm:
    """Two nodes, and a partition whose jobs put those of the other back into the queue.

    Args:
        folder: for everything that the daemons write.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.configuration = folder / "slurm.conf"
        self._daemons: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> "Slurm":
        for name in ("state", *(f"spool/{node}" for node in NODES)):
            (self.folder / name).mkdir(parents=True)
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o600)
        settings = {
            "host": socket.gethostname().partition(".")[0],
            "user": getpass.getuser(),
            "folder": self.folder,
            "ports": [_free_port() for _ in range(1 + len(NODES))],
            "cpus": os.cpu_count(),
        }
        self.configuration.write_text(_CONFIGURATION.format(**settings))
        own = [f"--{kind}={self.folder / name}" for kind, name in _MUNGE.items()]
        try:
            self._start("munged", "--foreground", "--force", *own)
            _wait(lambda: (self.folder / "munge.sock").exists(), "munged")
            self._start("slurmctld", "-D", "-f", str(self.configuration))
            for node in NODES:
                self._start("slurmd", "-D", "-f", str(self.configuration), "-N", node)
            _wait(self._is_ready, "SLURM's nodes")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_ready():
            self.run("scancel", "--user", getpass.getuser())
            _wait(lambda: not self.run("squeue", "--noheader").strip(), "the end of all jobs")
        for daemon in reversed(self._daemons):
            daemon.terminate()
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def run(self, *command: str) -> str:
        """What one of SLURM's commands prints."""
        environment = {**os.environ, "SLURM_CONF": str(self.configuration)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def start_now(self, number: str) -> None:
        """Spares a job that was queued again the two minutes that SLURM lets it wait."""
        time.sleep(2)  # within the second in which it took the job back, a node would not start it
        self.run("scontrol", "update", f"jobid={number}", "StartTime=now")

    def state(self, number: str) -> str:
        words = self.run("scontrol", "--oneliner", "show", "job", number).split()
        return next(word.removeprefix("JobState=") for word in words if word.startswith("JobState="))

    def _is_ready(self) -> bool:
        environment = {**os.environ, "SLURM_CONF": str(self.configuration)}
        command = ["sinfo", "--noheader", "--Node", "--partition=low", "--format=%t"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        return bool(done.stdout.split()) and set(done.stdout.split()) <= {"idle", "alloc", "mix", "comp"}

    def _start(self, program: str, *arguments: str) -> None:
        with (self.folder / f"{program}-{len(self._daemons)}.out").open("wb") as output:
            self._daemons.append(
                subprocess.Popen(
                    [
                        shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") or program,
                        *arguments,
                    ],
                    env={**os.environ, "SLURM_CONF": str(self.configuration)},
                    stdout=output,
                    stderr=output,
                )
            )


_MUNGE = {
    "socket": "munge.sock",
    "key-file": "munge.key",
    "pid-file": "munged.pid",
    "log-file": "munged.log",
    "seed-file": "munged.seed",
}


def _wait(condition: Callable[[], bool], what: str) -> None:
    until_s = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until_s, f"{what} did not come"
        time.sleep(0.2)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
