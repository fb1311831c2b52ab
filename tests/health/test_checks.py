"""Checks of a node, each against a node that is well and one that is not."""

import os
import threading
import time
from pathlib import Path

import pytest
import torch

from modules.health.checks import Finding, clock, compared, disk, existing, memory
from modules.health.collective_member import add_up
from modules.health.devices import collective, devices, right_product, speed
from modules.health.other_nodes import speeds_of_all

CPU = torch.device("cpu")


def test_a_finding_is_one_line_that_names_the_node() -> None:
    assert Finding("disk", "3 GB free").line("node7") == "node7: ok: disk: 3 GB free"
    bad = Finding("disk", "0 GB free", "Make room")
    assert not bad.is_well and bad.line("node7") == "node7: FAILED: disk: 0 GB free. Make room"


def test_a_disk_has_room_or_not_and_is_left_as_it_was(tmp_path: Path) -> None:
    assert existing(tmp_path / "runs" / "more") == tmp_path
    assert disk(tmp_path / "runs", 0.001).is_well
    full = disk(tmp_path, 1e9)
    assert not full.is_well and "GB free" in full.found
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_disk_that_takes_no_file_is_not_well(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert "no file can be written" in disk(tmp_path, 0).found
    tmp_path.chmod(0o700)


def test_clocks_together_and_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert clock(tmp_path, 2.0).is_well
    now = time.time
    for apart_s, words in ((-100.0, "100.0"), (100.0, "ahead of")):
        monkeypatch.setattr(time, "time", lambda apart_s=apart_s: now() + apart_s)
        found = clock(tmp_path, 5.0)
        assert not found.is_well and words in found.found
    monkeypatch.setattr(time, "time", lambda: now() - 100.0)
    assert "behind" in clock(tmp_path, 5.0).found


def test_memory_is_there_or_not() -> None:
    assert memory(0.001).is_well
    assert not memory(1e6).is_well


def test_a_product_is_right_and_has_a_speed() -> None:
    assert CPU in devices()
    assert right_product(CPU).is_well
    finding, flops = speed(CPU, None)
    assert finding.is_well and flops > 1e8
    assert not speed(CPU, flops / 1e9 * 2)[0].is_well


def test_a_wrong_product_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """One bit of one number of a product, as a defect device would give it."""
    multiply = torch.Tensor.__matmul__

    def defect(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        product = multiply(left, right)
        if left.dtype == torch.float32:
            product[17, 3] += 1
        return product

    monkeypatch.setattr(torch.Tensor, "__matmul__", defect)
    found = right_product(CPU)
    assert not found.is_well and "1 of 512 rows are wrong" in found.found


def test_processes_add_up_together_or_say_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert collective(0).is_well
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "none9")
    found = collective(0)
    assert not found.is_well and "GLOO_SOCKET_IFNAME" in found.advice


def test_one_process_alone_adds_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GLOO_SOCKET_IFNAME", raising=False)
    assert add_up("gloo", 1, 0, str(tmp_path / "store")) == 0


def test_nodes_compare_their_speeds(tmp_path: Path) -> None:
    found: dict[str, dict[str, float]] = {}

    def node(name: str, flops: float) -> None:
        found[name] = speeds_of_all(tmp_path / "health-0", name, flops, 3, wait_s=20)

    speeds = {"a": 100.0, "b": 90.0, "c": 30.0}
    nodes = [threading.Thread(target=node, args=pair) for pair in speeds.items()]
    for one in nodes:
        one.start()
    for one in nodes:
        one.join()
    assert all(told == speeds for told in found.values())
    assert [compared(flops, list(speeds.values()), 0.5).is_well for flops in speeds.values()] == [
        True,
        True,
        False,
    ]
    assert speeds_of_all(tmp_path / "alone", "a", 1.0, 2, wait_s=0) == {"a": 1.0}
