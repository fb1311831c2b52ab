"""How long the yard waits for an object store, and how often it asks again."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Patience:
    """
    Attributes:
        stall_s: longest wait for one request's answer; then it is asked again.
        attempts: requests before it is an error.
        first_wait_s: between the first two of them; each later wait is twice as long, and up to half as much
            again by chance, so that many processes do not ask at once.
        full_s: longest wait for room in the cache.
    """

    stall_s: float = 60.0
    attempts: int = 5
    first_wait_s: float = 0.5
    full_s: float = 120.0


PATIENCE = Patience()
