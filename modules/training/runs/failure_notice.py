"""Tells a command or a webhook that a training or a sweep has failed; see `runtime.on_failure`.

Whatever becomes of that is one line of warning: it changes neither the error nor the exit status. Imports no
torch.
"""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from modules.configuration.schema.on_failure import is_address

LIMIT_S = 10.0


def tell_of_failure(
    on_failure: str | None, kind: str, folder: Path, recipe: str, error: BaseException
) -> None:
    """Runs the command with a notice on its standard input, or posts it to the address; both as JSON.

    Args:
        on_failure: of the runtime; None tells nobody.
        kind: training or sweep.
        folder: of the run or the sweep.
        recipe: its name.
        error: why it failed.
    """
    if on_failure is None:
        return
    notice = {
        "kind": kind,
        "run_folder": str(folder.absolute()),
        "recipe": recipe,
        "status": "FAILED",
        "reason": " ".join(f"{error}".split()) or type(error).__name__,
        "host": socket.gethostname(),
    }
    problem = _posted(on_failure, notice) if is_address(on_failure) else _run(on_failure, notice)
    if problem:
        print(f"warning: runtime.on_failure: {problem}", file=sys.stderr, flush=True)


def _run(command: str, notice: dict[str, Any]) -> str:
    """Runs the command; returns what went wrong, or nothing."""
    words = shlex.split(command)
    try:
        process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True
        )
    except (OSError, ValueError) as error:
        return f"{words[0]} cannot be run: {error}"
    try:
        process.communicate(json.dumps(notice) + "\n", timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)  # what it has started goes with it
        process.wait()
        return f"{words[0]} was ended after {LIMIT_S:.0f} s"
    return f"{words[0]} ended with status {process.returncode}" if process.returncode else ""


def _posted(address: str, notice: dict[str, Any]) -> str:
    """Posts the notice; returns what went wrong, or nothing."""
    host = urlsplit(address).hostname  # the rest may be a secret
    answers: list[str] = []

    def post() -> None:
        request = urllib.request.Request(
            address, json.dumps(notice).encode(), {"Content-Type": "application/json"}, method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=LIMIT_S):
                answers.append("")
        except (OSError, ValueError) as error:
            answers.append(f"{host} did not take it: {' '.join(str(error).split())}")
        except Exception as error:  # http.client has kinds of its own
            answers.append(f"{host} did not take it: {type(error).__name__}")

    posting = threading.Thread(target=post, name="on failure", daemon=True)
    posting.start()
    posting.join(LIMIT_S)  # in all: a server may answer byte by byte
    return answers[0] if answers else f"{host} did not answer within {LIMIT_S:.0f} s"
