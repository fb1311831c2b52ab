"""The drainer's process, as the training process sees it: started, and started again should it die."""

import subprocess
import sys
import threading
import time
from pathlib import Path

from modules.tracking.tracking_folder import LOG, drainer_lock, is_held

REPOSITORY = Path(__file__).resolve().parents[2]
PAUSE_S = (5.0, 300.0)  # first and longest between two starts


class DrainerProcess:
    """Keeps one drainer at work on a tracking folder, detached from this process and its terminal.

    Args:
        folder: the tracking folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._not_before_s = -float("inf")
        self._pause_s = PAUSE_S[0]

    def tend(self) -> None:
        """Starts the drainer if none is at work; one that keeps dying is started ever more rarely.

        Raises:
            OSError: it cannot be started.
        """
        if self._process is not None and self._process.poll() is None:
            return
        if time.monotonic() < self._not_before_s or is_held(drainer_lock(self._folder)):
            return
        self._not_before_s = time.monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, PAUSE_S[1])
        with (self._folder / LOG).open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "modules.tracking.drainer", str(self._folder)],
                cwd=REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # neither Ctrl-C nor the terminal's end reaches it
            )
        threading.Thread(target=self._process.wait, daemon=True).start()  # leaves no zombie behind

    def hurry(self) -> None:
        """The run ends and waits: start it without further pause."""
        self._not_before_s, self._pause_s = -float("inf"), PAUSE_S[0]
