"""Whether a node is fit for a job: disks, clock and memory. Imports no torch."""

import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from modules.configuration.errors import UserError
from modules.configuration.regular_file import read_regular_text

GIGABYTE = 1e9


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        check: what was looked at.
        found: in words.
        advice: what to do; empty where all is well.
    """

    check: str
    found: str
    advice: str = ""

    @property
    def is_well(self) -> bool:
        return not self.advice

    def line(self, node: str) -> str:
        """The check as one line, which names the node."""
        state = "ok" if self.is_well else "FAILED"
        return f"{node}: {state}: {self.check}: {self.found}" + (f". {self.advice}" if self.advice else "")


def existing(path: Path) -> Path:
    """The folder itself, or the nearest one above it that is there."""
    path = path.absolute()
    return next((one for one in (path, *path.parents) if one.is_dir()), Path("/"))


def disk(path: Path, min_free_gb: float) -> Finding:
    """Whether the file system of a folder has room and takes a file.

    Args:
        path: of the folder, which need not be there yet.
        min_free_gb: gigabytes that must be free.
    """
    there = existing(path)
    try:
        free_gb = shutil.disk_usage(there).free / GIGABYTE
        with tempfile.NamedTemporaryFile(dir=there, prefix=".health-") as file:
            file.write(b"\0" * 4096)
            file.flush()
    except OSError as error:
        advice = "Make it writable for this user, or name another folder"
        return Finding(f"disk of {path}", f"no file can be written: {error.strerror}", advice)
    advice = "" if free_gb >= min_free_gb else f"Make room until {min_free_gb:g} GB are free"
    return Finding(f"disk of {path}", f"{free_gb:.1f} GB free", advice)


def clock(path: Path, max_offset_s: float) -> Finding:
    """How far this node's clock is from that of a folder's file system, which nodes may share.

    Args:
        path: of the folder.
        max_offset_s: seconds that are tolerated.
    """
    try:
        before_s = time.time()
        with tempfile.NamedTemporaryFile(dir=existing(path), prefix=".health-") as file:
            file.write(b"\0")
            file.flush()
            written_s = Path(file.name).stat().st_mtime
        after_s = time.time()
    except OSError as error:
        return Finding("clock", f"no file can be written in {path}: {error.strerror}", "See the disk above")
    # Within the write, or no further from it than a tick of the file system's clock.
    offset_s = written_s - after_s if written_s > after_s else min(0.0, written_s - before_s)
    found = f"{abs(offset_s):.2f} s {'behind' if offset_s > 0 else 'ahead of'} the file system of {path}"
    advice = "" if abs(offset_s) <= max_offset_s else "Set this node's clock by NTP (chronyc makestep)"
    return Finding("clock", found, advice)


def memory(min_free_gb: float) -> Finding:
    """Whether enough memory is available, within a container's limit too.

    Args:
        min_free_gb: gigabytes that must be.
    """
    free_gb = min(psutil.virtual_memory().available, _left_in_container()) / GIGABYTE
    advice = "" if free_gb >= min_free_gb else f"End what holds it, or ask for {min_free_gb:g} GB"
    return Finding("memory", f"{free_gb:.1f} GB available", advice)


def _left_in_container() -> float:
    """Bytes below the limit of this control group (version 2); infinity where there is none."""
    group = Path("/sys/fs/cgroup")
    try:
        limit, used = (read_regular_text(group / f"memory.{name}").strip() for name in ("max", "current"))
        return float("inf") if limit == "max" else float(limit) - float(used)
    except (OSError, ValueError, UserError):
        return float("inf")


def compared(flops: float, others: Sequence[float], min_ratio: float) -> Finding:
    """A node's speed against that of all nodes of a job.

    Args:
        flops: operations a second of this node.
        others: of all nodes, this one among them.
        min_ratio: of their median that must be reached.
    """
    ordered = sorted(others)
    ratio = flops / ordered[len(ordered) // 2]
    found = f"{ratio:.2f} of the median of {len(others)} nodes"
    slow = (
        "Look for another process, a throttled device, a slower kind of node; cluster.options=[exclude=NODE]"
    )
    return Finding("speed beside other nodes", found, "" if ratio >= min_ratio else slow)
