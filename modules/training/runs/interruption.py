"""SIGTERM and SIGINT as a request to save and stop, instead of a loss of work."""

import os
import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import Any


class Interrupted(BaseException):
    """The training stopped because a signal asked it to; what was learned is in the checkpoint.

    Attributes:
        signal: the signal that asked.
        outcome: what the run's folder is to say of it.
    """

    outcome = "KILLED"

    def __init__(self, received: signal.Signals) -> None:
        super().__init__(received.name)
        self.signal = received

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.signal,)

    @property
    def exit_status(self) -> int:
        """What a shell reports for a process that this signal ended."""
        return 128 + self.signal


class Interruption:
    """While entered, the first signal asks for a stop at the end of the running block; a second one stops
    at once."""

    def __init__(self) -> None:
        self.asked: Interrupted | None = None
        self.repeated = False
        self._process = os.getpid()
        self._previous: dict[signal.Signals, Any] = {}

    @property
    def requested(self) -> bool:
        return self.asked is not None

    def request(self, stop: Interrupted) -> None:
        """Asks from within for what a signal asks for from outside.

        Args:
            stop: what to raise.
        """
        self.asked = stop

    def stop(self) -> None:
        """Raises `Interrupted` if it has been asked for."""
        if self.asked is not None:
            raise self.asked

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            return  # a loader's worker: Ctrl-C reaches all of a terminal's processes, this one decides
        self.repeated = self.requested
        self.stop()
        received = signal.Signals(number)
        self.request(Interrupted(received))
        print(
            f"\n{received.name}: saving at the end of this block; once more stops at once",
            file=sys.stderr,
        )

    def listen(self) -> None:
        """Takes over both signals; again, if something else has taken them since."""
        # Python lets only the main thread set handlers; elsewhere whoever runs the threads stops them.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                previous = signal.signal(number, self._handle)
                self._previous.setdefault(number, previous)

    def __enter__(self) -> "Interruption":
        self.listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
