"""Where a training ran: versions, machine and the state of the code, as plain text."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import torch

FACTS = (
    "git_commit",
    "git_dirty",
    "python",
    "torch",
    "pytorch_lightning",
    "platform",
    "cpu",
    "num_cores",
    "num_threads",
    "gpu",
    "cuda",
)
"""What `git_state` and `environment` name."""


def environment() -> dict[str, str]:
    """Versions and hardware that a result may depend on."""
    facts = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "pytorch_lightning": version("pytorch-lightning"),
        "platform": platform.platform(),
        "cpu": _cpu(),
        "num_cores": str(
            len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        ),
        "num_threads": str(torch.get_num_threads()),
    }
    if torch.cuda.is_available():
        facts["gpu"] = torch.cuda.get_device_name()
        facts["cuda"] = str(torch.version.cuda)
    return facts


def git_state(folder: Path) -> dict[str, str]:
    """Commit of the code and whether tracked files differ from it; empty outside a repository."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return {}
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"git_commit": commit, "git_dirty": "unknown" if changes is None else str(bool(changes)).lower()}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _cpu() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
