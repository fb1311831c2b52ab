"""Keeps the memory of freed tensors in the process.

By default glibc hands most memory of large tensors back to the system when they are freed, and the next step
gets it again page by page: a fifth of the time of a small convolutional network on the CPU. Tensors above
32 MB, the most that glibc allows here, are still handed back.
"""

import ctypes

# From malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3


def keep_freed_memory() -> bool:
    """Tells the allocator; returns whether it listens (glibc does, others need not)."""
    return _set_thresholds(32 * 2**20, 2**31 - 1)


def return_freed_memory() -> bool:
    """Tells the allocator the contrary, where weights that are gathered and let go must not pile up."""
    return _set_thresholds(2**17, 2**17)


def _set_thresholds(mapped_bytes: int, trimmed_bytes: int) -> bool:
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, mapped_bytes)) and bool(mallopt(_M_TRIM_THRESHOLD, trimmed_bytes))
