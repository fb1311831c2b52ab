"""Commands in processes of their own, forked from one that has imported torch and Lightning already.

These imports take five to eight seconds of a core, as much as all else that a small training does; a test
that starts four commands would spend half a minute on them. So a server imports what others wrote, once for
each pytest worker, and forks: our own modules are imported by each command itself. All else is as in a
shell: a pid, signals, limits, an environment, streams and an exit status. Where imports are what is tested,
and where bits are compared with those of a fresh interpreter, tests start `sys.executable` themselves.
"""

import atexit
import os
import random
import resource
import runpy
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context, set_start_method
from multiprocessing.connection import Connection
from pathlib import Path
from subprocess import TimeoutExpired
from typing import Any, TextIO

IMPORTED = ["torch", "pytorch_lightning", "torchmetrics.classification", "hydra", "rich.progress"]
"""None of these starts a thread: one that holds a lock when the server forks would never give it back."""
ROOT = Path(__file__).resolve().parents[1]

_context = get_context("forkserver")
_context.set_forkserver_preload(IMPORTED)


def environment(**variables: str) -> dict[str, str]:
    """For commands in processes of their own."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **variables}


class Command:
    """A running `python -m <module> <arguments>`, with the methods of `subprocess.Popen` that tests call.

    Args:
        module: what is run.
        arguments: of its command line.
        folder: where it runs.
        variables: of its environment, besides `environment()`.
        limits: of its resources, by their number in `resource`.
        session: whether it leads a session and so a process group of its own.
        one_stream: whether what it writes to stderr goes to stdout.
    """

    def __init__(
        self,
        module: str,
        *arguments: str,
        folder: Path,
        variables: Mapping[str, str] | None = None,
        limits: Mapping[int, int] | None = None,
        session: bool = False,
        one_stream: bool = False,
    ) -> None:
        self.stdout, out = _pipe()
        self.stderr, err = _pipe()
        told = (environment(**(variables or {})), dict(limits or {}), session)
        streams = (out, out if one_stream else err)
        self._process: Any = _context.Process(target=_run, args=(module, arguments, folder, *told, *streams))
        self._process.start()
        self.pid: int = self._process.pid
        out.close()
        err.close()

    @property
    def returncode(self) -> int | None:
        """The exit status; that of a signal is negative."""
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self.returncode is None:
            raise TimeoutExpired(f"pid {self.pid}", timeout or 0.0)
        return self.returncode

    def communicate(self, timeout: float) -> tuple[str, str]:
        """Waits for the end, and gives what was written to stdout and stderr and not read before."""
        with ThreadPoolExecutor(2) as readers:
            written = [readers.submit(stream.read) for stream in (self.stdout, self.stderr)]
            try:
                out, err = (reading.result(timeout) for reading in written)
                self.wait(timeout)
            except BaseException:
                self.kill()
                raise
        self.close()
        return out, err

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    def close(self) -> None:
        """Closes the streams of one whose output nobody wants."""
        self.stdout.close()
        self.stderr.close()


def run(module: str, *arguments: str, folder: Path, timeout: float = 280, **how: Any) -> tuple[int, str, str]:
    """Runs a command to its end: exit status, stdout, stderr."""
    command = Command(module, *arguments, folder=folder, **how)
    out, err = command.communicate(timeout)
    return command.wait(), out, err


def _pipe() -> tuple[TextIO, Connection]:
    reading, writing = os.pipe()
    return os.fdopen(reading, encoding="utf-8"), Connection(writing, readable=False)


def _run(
    module: str,
    arguments: tuple[str, ...],
    folder: Path,
    variables: dict[str, str],
    limits: dict[int, int],
    session: bool,
    out: Connection,
    err: Connection,
) -> None:
    set_start_method("fork", force=True)  # this platform's own, not the one that this process came by
    os.dup2(out.fileno(), 1)
    os.dup2(err.fileno(), 2)
    # Made again for what they lead to now: those of the server may believe that they can seek.
    sys.stdout = os.fdopen(1, "w", closefd=False, encoding=sys.stdout.encoding, errors=sys.stdout.errors)
    sys.stderr = os.fdopen(
        2, "w", buffering=1, closefd=False, encoding=sys.stderr.encoding, errors=sys.stderr.errors
    )
    out.close()
    if not err.closed:
        err.close()
    if session:
        os.setsid()
    for number, limit in limits.items():
        resource.setrlimit(number, (limit, limit))
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(folder)
    random.seed()
    sys.path.insert(0, str(folder))
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        # A process of multiprocessing leaves without what others do at their end.
        threading._shutdown()  # pyright: ignore[reportAttributeAccessIssue]
        atexit._run_exitfuncs()
