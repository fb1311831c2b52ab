"""`dvc repro` as a process that can be stopped: a signal reaches all of it once, and a training saves itself.

A terminal sends Ctrl-C to DVC as well, which leaves it to the running stage, and with `--keep-going` begins
the next one after it. So each call names what is to be made, stops at its first failure, and lives in a
session of its own, to which signals are passed on.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(Exception):
    """A signal asked to stop; what ran has ended.

    Attributes:
        signal: that was received first.
    """

    def __init__(self, received: signal.Signals) -> None:
        super().__init__(received.name)
        self.signal = received


class Repros:
    """Several of them at once, each with a session of its own. As a context it passes signals on.

    Attributes:
        received: the signals so far.
    """

    def __init__(self) -> None:
        self.received: list[signal.Signals] = []
        self._running: dict[str, subprocess.Popen[str]] = {}
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "Repros":
        self._previous = {number: signal.getsignal(number) for number in SIGNALS}
        for number in SIGNALS:
            signal.signal(number, self._pass_on)
        return self

    def __exit__(self, *raised: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        if self._previous.get(number) is signal.SIG_IGN:
            return  # as under nohup
        self.received.append(signal.Signals(number))
        for process in self._running.values():
            _interrupt(process)

    def start(self, name: str, arguments: Sequence[str], pipe: bool = False) -> "subprocess.Popen[str]":
        """Begins one.

        Args:
            name: of it, among those that run.
            arguments: of `dvc repro`.
            pipe: whether its output comes here, as lines, in place of going where this process's goes.
        """
        sys.stdout.flush()
        # Another `dvc` that looks at the repository for a moment is waited for.
        command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", *arguments]
        process = subprocess.Popen(
            command,
            env=_environment(),
            start_new_session=True,
            text=True,
            stdout=subprocess.PIPE if pipe else None,
            stderr=subprocess.STDOUT if pipe else None,
        )
        self._running[name] = process
        if self.received:  # between the last two lines
            _interrupt(process)
        return process

    def ended(self, name: str) -> bool:
        """Waits for one; whether it has made all."""
        made = self._running[name].wait() == 0
        del self._running[name]
        return made


def repro(targets: Sequence[str]) -> bool:
    """Makes stages and what they need; their output goes where this process's goes.

    Args:
        targets: such as evaluate@lenet.

    Returns:
        Whether all were made.

    Raises:
        Stopped: a signal was received, and all that ran has ended.
    """
    with Repros() as repros:
        repros.start("all", targets)
        made = repros.ended("all")
    if repros.received:
        raise Stopped(repros.received[0])
    return made


def _interrupt(process: "subprocess.Popen[str]") -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)


def _environment() -> dict[str, str]:
    """With the interpreter that runs this as the `python` of the stages."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return {**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1"}
