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


def repro(targets: Sequence[str]) -> bool:
    """Makes stages and what they need; their output goes where this process's goes.

    Args:
        targets: such as evaluate@lenet.

    Returns:
        Whether all were made.

    Raises:
        Stopped: a signal was received, and all that ran has ended.
    """
    received: list[signal.Signals] = []
    process: subprocess.Popen[bytes] | None = None

    def pass_on(number: int, frame: FrameType | None) -> None:
        if previous.get(number) is signal.SIG_IGN:
            return  # as under nohup
        received.append(signal.Signals(number))
        if process is not None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)

    previous: dict[int, Any] = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        signal.signal(number, pass_on)
    try:
        sys.stdout.flush()
        # Another `dvc` that looks at the repository for a moment is waited for.
        command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", *targets]
        if not received:
            process = subprocess.Popen(command, env=_environment(), start_new_session=True)
            if received:  # between the last two lines
                os.killpg(process.pid, signal.SIGINT)
            process.wait()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if received:
        raise Stopped(received[0])
    return process is not None and process.returncode == 0


def _environment() -> dict[str, str]:
    """With the interpreter that runs this as the `python` of the stages."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return {**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1"}
