"""What goes between the driver of a run and its workers: text, signs of life, and requests to stop.

Imports neither torch nor Ray.
"""

import math
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Sign:
    """A worker's sign of life.

    Attributes:
        rank: of the worker.
        host: on which it runs.
        node: Ray's id of it.
        process: its id there.
        collectives: collective operations that it has begun.
        still_s: seconds for which its training has stood at the same instruction.
    """

    rank: int
    host: str
    node: str
    process: int
    collectives: int
    still_s: float

    def __str__(self) -> str:
        return f"worker {self.rank} (process {self.process} on {self.host})"


@dataclass(frozen=True)
class Trouble:
    """A worker that keeps the others from going on.

    Attributes:
        worker: its newest sign of life.
        text: what it does not do.
    """

    worker: Sign
    text: str


class Mailbox:
    """An actor beside the driver.

    Args:
        patience_s: seconds without a sign of life, or in which the others wait for one that stands still,
            after which a worker is in trouble.
    """

    def __init__(self, patience_s: float = math.inf) -> None:
        self._patience_s = patience_s
        self._arrived = False
        self._text: list[str] = []
        self._stop: int | None = None
        self._signs: dict[int, tuple[float, Sign]] = {}
        self._reports: dict[int, str] | None = None
        self._ending: int | None = None

    def write(self, text: str) -> None:
        """Text for the driver's terminal."""
        self._arrived = True
        self._text.append(text)

    def take(self) -> tuple[bool, str, Trouble | None]:
        """Whether a worker has written at all, what since the last time, and who is in trouble."""
        text, self._text = "".join(self._text), []
        return self._arrived, text, self._silent() or self._waited_for()

    def beat(self, sign: Sign, ended: bool = False) -> str | None:
        """A sign of life of a worker, or its last.

        Returns:
            What is asked of it: a `report` of where it stands, or its `end`.
        """
        if ended:
            self._signs.pop(sign.rank, None)
            return None
        self._signs[sign.rank] = time.monotonic(), sign
        if self._ending == sign.rank:
            return "end"
        return "report" if self._reports is not None and sign.rank not in self._reports else None

    def report(self, rank: int, text: str) -> None:
        """Where a worker stands."""
        if self._reports is not None:
            self._reports[rank] = text

    def reports(self) -> tuple[dict[int, str], bool]:
        """Asks all workers where they stand: what has come by rank, and whether it is all that will."""
        self._reports = self._reports or {}
        now_s = time.monotonic()
        living = {rank for rank, (at_s, _) in self._signs.items() if now_s - at_s < self._patience_s}
        return self._reports, living <= self._reports.keys()

    def end(self, rank: int) -> None:
        """Asks a worker's process to end at once."""
        self._ending = rank

    def stop(self, signal: int) -> None:
        """Asks all workers to save and stop."""
        self._stop = signal

    def stopped_by(self) -> int | None:
        """The signal that asks to stop."""
        return self._stop

    def _silent(self) -> Trouble | None:
        since_s = time.monotonic() - self._patience_s
        for at_s, sign in self._signs.values():
            if at_s < since_s:
                return Trouble(sign, f"gave no sign of life for {self._patience_s:g} s")
        return None

    def _waited_for(self) -> Trouble | None:
        """One that stands still and has begun fewer collectives than others, which wait for it there."""
        signs = [sign for _, sign in self._signs.values()]
        most = max((sign.collectives for sign in signs), default=0)
        for sign in signs:
            if sign.collectives < most and sign.still_s >= self._patience_s:
                at = f"at collective {sign.collectives + 1}"
                return Trouble(sign, f"has stood still for {sign.still_s:.0f} s, the others wait for it {at}")
        return None
