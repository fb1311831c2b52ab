"""A login node: a real OpenSSH server of this test run alone on loopback, and an `ssh` that finds it."""

import getpass
import os
import shutil
import socket
import subprocess
import time
from contextlib import closing
from pathlib import Path
from types import TracebackType

PROGRAMS = ("sshd", "ssh", "ssh-keygen")
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
_SERVER = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
AuthorizedKeysFile {folder}/own.pub
PidFile {folder}/sshd.pid
StrictModes no
UsePAM no
PasswordAuthentication no
SetEnv {variables}
"""
_CLIENT = """\
Host login
  HostName 127.0.0.1
  Port {port}
  User {user}
  IdentityFile {folder}/own
  IdentitiesOnly yes
  UserKnownHostsFile {folder}/known
  StrictHostKeyChecking accept-new
"""


def missing() -> list[str]:
    """The programs of OpenSSH that are not installed."""
    return [program for program in PROGRAMS if shutil.which(program, path=_PATH) is None]


class LoginNode:
    """The host `login` for every `ssh` that is found in `bin`.

    Args:
        folder: for keys, configuration and log.
        variables: environment of what runs there.
    """

    def __init__(self, folder: Path, **variables: str) -> None:
        self.folder, self.variables = folder, variables
        self.bin = folder / "bin"
        self._server: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "LoginNode":
        self.bin.mkdir(parents=True)
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        for name in ("host", "own"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / name)]
            subprocess.run(command, check=True)
        with closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        variables = " ".join(f"{name}={value}" for name, value in self.variables.items())
        settings = {"port": port, "folder": self.folder, "variables": variables, "user": getpass.getuser()}
        (self.folder / "sshd_config").write_text(_SERVER.format(**settings))
        (self.folder / "ssh_config").write_text(_CLIENT.format(**settings))
        ssh = shutil.which("ssh")
        (self.bin / "ssh").write_text(f'#!/bin/sh\nexec {ssh} -F {self.folder}/ssh_config "$@"\n')
        (self.bin / "ssh").chmod(0o755)
        sshd = str(shutil.which("sshd", path=_PATH))
        log = str(self.folder / "sshd.log")
        self._server = subprocess.Popen([sshd, "-D", "-f", str(self.folder / "sshd_config"), "-E", log])
        until_s = time.monotonic() + 20
        while not _answers(port):
            assert time.monotonic() < until_s, (self.folder / "sshd.log").read_text()
            time.sleep(0.05)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.terminate()
        self._server.wait(20)


def _answers(port: int) -> bool:
    with closing(socket.socket()) as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0
