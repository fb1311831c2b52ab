import os
import shutil
import time
from pathlib import Path

import pytest

from modules.tracking.spool import SYSTEM, read_events
from modules.tracking.system_metrics import SystemMonitor, sample_gpus


def samples(folder: Path) -> list[dict[str, tuple[float, int]]]:
    return [
        {name: (value, step) for name, value, step, _ in event["rows"]}
        for event, _ in read_events(folder / SYSTEM)
        if event is not None
    ]


def test_samples_go_on_counting_after_a_restart(tmp_path: Path):
    for _ in range(2):
        monitor = SystemMonitor(tmp_path, os.getpid(), every_s=0.05)
        monitor.start()
        busy_until = time.monotonic() + 0.5
        while time.monotonic() < busy_until:
            pass
        monitor.stop()
    taken = samples(tmp_path)
    assert len(taken) >= 4
    assert [step for sample in taken for step in {step for _, step in sample.values()}] == list(
        range(len(taken))
    )
    last = {name: value for name, (value, _) in taken[-1].items()}
    assert all(name.startswith("system/") for name in last)
    assert last["system/process_memory_usage_megabytes"] > 10
    assert 0 < last["system/system_memory_usage_percentage"] <= 100
    assert max(sample["system/process_cpu_utilization_percentage"][0] for sample in taken) > 10


def test_the_sampled_process_may_end_at_any_time(tmp_path: Path):
    child = os.posix_spawn("/bin/sleep", ["sleep", "0.3"], os.environ)
    monitor = SystemMonitor(tmp_path, child, every_s=0.05)
    monitor.start()
    os.waitpid(child, 0)
    monitor.join(10)
    assert not monitor.is_alive()


@pytest.mark.skipif(shutil.which("nvidia-smi") is None, reason="no NVIDIA GPU")
def test_gpus_are_sampled(tmp_path: Path):
    monitor = SystemMonitor(tmp_path, os.getpid(), every_s=0.05)
    monitor.start()
    time.sleep(3)
    monitor.stop()
    assert samples(tmp_path)[-1]["system/gpu_0_memory_usage_megabytes"][0] >= 0


def test_what_nvidias_command_prints_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    command = tmp_path / "nvidia-smi"
    command.write_text("#!/bin/sh\necho '37, 1000, 71.25'\necho '[N/A], 0, [Not Supported]'\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert sample_gpus() == {
        "gpu_0_utilization_percentage": 37,
        "gpu_0_memory_usage_megabytes": 1048.576,
        "gpu_0_power_usage_watts": 71.25,
        "gpu_1_memory_usage_megabytes": 0,
    }
    command.write_text("#!/bin/sh\nexit 9\n")
    assert sample_gpus() == {}
