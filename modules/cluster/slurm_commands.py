"""SLURM's commands, here or by SSH at a login node of the cluster."""

import shlex
import shutil
import subprocess
from pathlib import Path

from modules.configuration.errors import UserError

_PATIENCE_S = 60.0
_SSH = ("ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=20")
_SSH_FAILED = 255


def slurm(login: str | None, *command: str, text: str | None = None) -> str:
    """What a command of SLURM says.

    Args:
        login: where it runs; None = here.
        command: its words.
        text: what it reads.

    Raises:
        UserError: it is missing, refuses, or does not answer.
    """
    if login is None and shutil.which(command[0]) is None:
        raise UserError(
            f"{command[0]} is missing: no SLURM here",
            "Submit from a login node of the cluster, or name one: cluster.login=user@host",
        )
    done = _run(login, command, None if text is None else text.encode())
    if done.returncode:
        lines = [line for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
        said = lines[-1] if lines else "no reason given"
        said = said.removeprefix(f"{command[0]}: ").removeprefix("error: ")
        raise UserError(f"SLURM's {command[0]} refuses: {said}")
    return done.stdout.decode(errors="replace")


def send_folder(login: str, folder: Path, target: Path) -> None:
    """Copies a folder to a login node, as `target`.

    Raises:
        UserError: it cannot be written there.
    """
    packed = subprocess.run(["tar", "-C", str(folder), "-cf", "-", "."], capture_output=True, check=True)
    where = shlex.quote(str(target))
    script = f"umask 077 && mkdir -p {where} && tar -C {where} -xf - --no-same-owner"
    done = _run(login, ("sh", "-c", script), packed.stdout)
    if done.returncode:
        said = (done.stderr.decode(errors="replace").splitlines() or ["no reason given"])[-1]
        raise UserError(f"{login}: {target} cannot be written: {said}", "Set cluster.storage")


def remove_folder(login: str, folder: Path) -> None:
    """Removes a job's folder at a login node."""
    _run(login, ("rm", "-rf", "--", str(folder)), None)


def read_from(login: str, file: Path, position: int) -> bytes:
    """What a file at a login node holds from a position on; nothing where there is no such file."""
    return _run(login, ("tail", "-c", f"+{position + 1}", "--", str(file)), None).stdout


def _run(
    login: str | None, command: tuple[str, ...], text: bytes | None
) -> subprocess.CompletedProcess[bytes]:
    if login is not None and shutil.which("ssh") is None:
        raise UserError("ssh is missing", "Install OpenSSH's client")
    words = list(command) if login is None else [*_SSH, login, "--", shlex.join(command)]
    given = {"stdin": subprocess.DEVNULL} if text is None else {"input": text}
    try:
        done = subprocess.run(words, capture_output=True, timeout=_PATIENCE_S, **given)  # pyright: ignore
    except subprocess.TimeoutExpired:
        at = "" if login is None else f" at {login}"
        raise UserError(f"SLURM does not answer{at}: {command[0]}") from None
    if login is not None and done.returncode == _SSH_FAILED:
        said = [line for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
        reason = said[-1] if said else "no reason given"
        raise UserError(f"ssh to {login} fails: {reason}", "It must log in without a question: ssh-add a key")
    return done
