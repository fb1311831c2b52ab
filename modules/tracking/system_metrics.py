"""How the machine and the training process fare, under the names that MLflow shows as system metrics."""

import shutil
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil

from modules.tracking.spool import NODE_SYSTEM, SYSTEM, SpoolWriter, read_events

MEGABYTE = 1e6
# What nvidia-smi calls it: what MLflow calls it, and the factor between their units (MiB and MB).
NVIDIA_QUERY = {
    "utilization.gpu": ("utilization_percentage", 1.0),
    "memory.used": ("memory_usage_megabytes", 2**20 / MEGABYTE),
    "power.draw": ("power_usage_watts", 1.0),
}


class SystemMonitor(threading.Thread):
    """Samples a process from outside, into a spool of its own, until it ends or `stop` is called.

    Args:
        folder: the run's tracking folder.
        pid: the training process.
        every_s: seconds between two samples.
        node: of a worker on another node than the first one's: its samples are `system/<node>/...`.
    """

    def __init__(self, folder: Path, pid: int, every_s: float, node: str = "") -> None:
        super().__init__(name="system metrics", daemon=True)
        self._folder = folder
        self._every_s = every_s
        self._spool = NODE_SYSTEM.format(node) if node else SYSTEM
        self._prefix = f"system/{node}/" if node else "system/"
        self._process = psutil.Process(pid)
        self._stopped = threading.Event()

    def run(self) -> None:
        """Samples until told to stop: the first after a second, so that a short run has one too."""
        step = _next_step(self._folder / self._spool)
        writer = SpoolWriter(self._folder / self._spool)
        network_at_start = psutil.net_io_counters()
        psutil.cpu_percent()
        try:
            self._process.cpu_percent()
            wait_s = min(1.0, self._every_s)
            while not self._stopped.wait(wait_s):
                sample = self._sample(network_at_start)
                now_ms = time.time_ns() // 1_000_000
                rows = [
                    [f"{self._prefix}{name}", round(value, 2), step, now_ms] for name, value in sample.items()
                ]
                writer.write({"event": "metrics", "rows": rows})
                step += 1
                wait_s = self._every_s
        except (psutil.Error, OSError):
            pass  # the process has ended, or the disk is full: nothing more to tell
        finally:
            writer.close()

    def stop(self) -> None:
        """Ends the sampling and waits for the last sample to be on disk."""
        self._stopped.set()
        self.join()

    def _sample(self, network_at_start: object) -> dict[str, float]:
        with self._process.oneshot():
            sample = {
                "process_cpu_utilization_percentage": self._process.cpu_percent(),
                "process_memory_usage_megabytes": self._process.memory_info().rss / MEGABYTE,
                "process_num_threads": self._process.num_threads(),
            }
        memory, network = psutil.virtual_memory(), psutil.net_io_counters()
        disk = shutil.disk_usage(self._folder)
        sample |= {
            "cpu_utilization_percentage": psutil.cpu_percent(),
            "system_memory_usage_megabytes": memory.used / MEGABYTE,
            "system_memory_usage_percentage": memory.percent,
            "disk_available_megabytes": disk.free / MEGABYTE,
            "disk_usage_percentage": 100 * disk.used / disk.total,
        }
        if network is not None and network_at_start is not None:
            for direction, counter in (("receive", "bytes_recv"), ("transmit", "bytes_sent")):
                transferred = getattr(network, counter) - getattr(network_at_start, counter)
                sample[f"network_{direction}_megabytes"] = transferred / MEGABYTE
        return sample | sample_gpus()


def sample_gpus() -> dict[str, float]:
    """NVIDIA's GPUs, where its driver's own command is there to ask."""
    if shutil.which("nvidia-smi") is None:
        return {}
    command = ["nvidia-smi", f"--query-gpu={','.join(NVIDIA_QUERY)}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return {}
    sample = {}
    for index, line in enumerate(answer.splitlines()):
        for (name, factor), cell in zip(NVIDIA_QUERY.values(), line.split(","), strict=True):
            with suppress(ValueError):  # "[N/A]": this GPU does not tell
                sample[f"gpu_{index}_{name}"] = factor * float(cell)
    return sample


def _next_step(spool: Path) -> int:
    """The number after the last sample's: a restarted drainer goes on counting."""
    last = -1
    for event, _ in read_events(spool):
        if event is not None:
            last = event["rows"][-1][2]
    return last + 1
