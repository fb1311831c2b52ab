"""Two readers that take turns, A B A B, so that a busy machine is busy for both."""

import statistics
import time
from collections.abc import Callable


def medians_in_turn(first: Callable[[], int], second: Callable[[], int], rounds: int) -> tuple[float, float]:
    """Median samples a second of two readers.

    Args:
        first: reads, and returns how many samples.
        second: likewise.
        rounds: that count; one before them warms up: it verifies hashes and fills the page cache.
    """
    speeds: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds + 1):
        for reader, measured in zip((first, second), speeds, strict=True):
            start = time.perf_counter()
            num_samples = reader()
            measured.append(num_samples / (time.perf_counter() - start))
    return statistics.median(speeds[0][1:]), statistics.median(speeds[1][1:])
