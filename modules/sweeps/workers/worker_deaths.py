"""Why a worker died, in a few words, and whether its trials are to blame."""

from pathlib import Path
from typing import Any

from modules.cluster.own_ray import RayDied

_FATAL = "Fatal Python error: "
_FRAME = "  File "


def why_died(error: Exception, crash_log: Path) -> tuple[str, bool]:
    """Tells a crash of the process from a kill from outside.

    Args:
        error: what Ray raised.
        crash_log: where the worker's fault handler writes when a signal of its own making ends it.

    Returns:
        The reason, and whether the same would come again: then there is no use in another attempt.
    """
    from ray.exceptions import OutOfMemoryError

    if isinstance(error, RayDied):
        return str(error), False
    if isinstance(error, OutOfMemoryError):
        return "out of memory: Ray ended the worker because its node had none left", True
    if crash := _crash(crash_log):
        return crash, True
    return _exit(error), False


def _crash(crash_log: Path) -> str:
    """What the fault handler wrote: the signal's name and the innermost frame of Python."""
    try:
        lines = crash_log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    signal = next((line.removeprefix(_FATAL) for line in lines if line.startswith(_FATAL)), "")
    current = next((number for number, line in enumerate(lines) if line.startswith("Current thread")), 0)
    frame = next((line.strip() for line in lines[current:] if line.startswith(_FRAME)), "")
    return f"{signal.lower()} at {frame}" if signal and frame else signal.lower()


def _exit(error: Any) -> str:
    """Ray's own words, the first sentence of them that says something."""
    lines = [line.strip() for line in str(error).splitlines()]
    told = next((line for line in reversed(lines) if line and not line.startswith(("pid:", "ip:"))), "")
    return f"the worker died: {told.split('. ')[0]}"
