"""A Ray that this process started: which of its parts has died, and the end of what is left of it.

Ray's driver waits for ever for a raylet that was killed, and a minute for a global control service; and the
agents of a raylet that was killed, or of a driver, outlive it. So the parts are looked at, and a guardian, a
process of its own, ends what is left of the session once this process leaves it or dies.
"""

import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from signal import Signals
from typing import Any

import psutil

from modules.configuration.static_analysis.definitions import ROOT

_NEEDED = ("raylet", "gcs_server")
_GOOD_BYE_S = 2.0  # for those that end by themselves
_GIVE_UP_S = 20.0
_guardian: subprocess.Popen[bytes] | None = None


class RayDied(Exception):
    """A part of this process's own Ray has died; the text says which, and of what."""


def check_parts() -> None:
    """Looks at the parts of this process's own Ray; of a cluster that it joined there are none.

    Raises:
        RayDied: one has ended.
    """
    from ray._private import worker

    node: Any = worker._global_node
    for part, process in node.dead_processes() if node is not None else ():
        if part in _NEEDED:
            code = process.returncode
            of = Signals(-code).name if code < 0 else f"exit status {code}"
            raise RayDied(f"Ray's {part} died ({of})")


def guard() -> None:
    """Starts the guardian of the session that this process has just begun."""
    global _guardian
    from ray._private import worker

    _dismiss()  # of a session that ended otherwise than by `leave`
    node = worker._global_node
    assert node is not None
    _guardian = subprocess.Popen(
        [sys.executable, "-m", "modules.cluster.own_ray", node.get_session_dir_path()],
        cwd=ROOT,
        stdin=subprocess.PIPE,  # it ends when this process closes its end, or dies
        start_new_session=True,  # Ctrl-C here is not meant for it
    )


def leave() -> None:
    """Ends this process's Ray and returns when nothing is left of it; leaves a cluster that it joined. One of
    Ray's own workers, such as a trial's, stays."""
    import ray
    from ray._private import worker

    if worker.global_worker.mode != ray.WORKER_MODE:
        stop_listening()
        ray.shutdown()
        _dismiss()


def stop_listening() -> None:
    """Takes back a driver's subscription to errors. Ray, at its end and at that of the process, waits for the
    head's answer to that without limit, and on a busy machine it has been seen not to come."""
    from ray._private import worker

    driver: Any = worker.global_worker
    subscription = getattr(driver, "gcs_error_subscriber", None)
    if subscription is not None:
        driver.threads_stopped.set()  # as Ray itself does first
        closing = threading.Thread(target=subscription.close, daemon=True)
        closing.start()
        for thread in (closing, driver.listener_thread):
            thread.join(_GOOD_BYE_S)
        del driver.gcs_error_subscriber


def _dismiss() -> None:
    global _guardian
    if _guardian is not None:
        _guardian.communicate()
        _guardian = None


def _end_all(session: str) -> None:
    began_s = time.monotonic()
    while (left := _processes_of(session)) and time.monotonic() - began_s < _GIVE_UP_S:
        if time.monotonic() - began_s > _GOOD_BYE_S:
            for process in left:
                with suppress(psutil.Error):
                    process.kill()
        time.sleep(0.1)


def _processes_of(session: str) -> list[psutil.Process]:
    """Ray's processes that hold a file of a session; the driver, which may live on, is none of Ray's."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            command = process.cmdline()
            is_rays = bool(command) and (command[0].startswith("ray::") or session in " ".join(command))
            if is_rays and process.status() != psutil.STATUS_ZOMBIE and process.pid != os.getpid():
                files = [*command, *(file.path for file in process.open_files())]
                if any(session in file for file in files):
                    found.append(process)
    return found


if __name__ == "__main__":
    sys.stdin.buffer.read()
    _end_all(str(Path(sys.argv[1])))
