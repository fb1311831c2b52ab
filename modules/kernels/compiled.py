"""How loops are compiled: by numba, once on a machine, into one signature, without Python's lock.

numba keeps what it compiled in NUMBA_CACHE_DIR, else beside the source, else in the user's cache folder.
Where none of them can be written, or what lies there cannot be read, each process compiles for itself. numba
notices a change of the file in which a function stands, not of others: what it calls stands in the same file.
"""

from collections.abc import Callable
from typing import Any

from numba import njit

_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}


def compiled(function: Callable[..., Any], signature: str) -> Callable[..., Any]:
    """A function for arguments of these types alone.

    Args:
        function: in the subset of Python that numba knows.
        signature: in numba's words.
    """
    try:
        return njit(signature, cache=True, **_OPTIONS)(function)
    except (
        Exception
    ):  # of the cache: no folder for it, a full disk, a damaged file; an error of ours comes again
        return njit(signature, **_OPTIONS)(function)


def part(*fastmath: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Of a function that compiled ones alone call.

    Args:
        fastmath: what the compiler may do to sums and products beside IEEE 754, in LLVM's words.
    """
    options: dict[str, Any] = {**_OPTIONS, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return njit(fastmath=set(fastmath), **options)
