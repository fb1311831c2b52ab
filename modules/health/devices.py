"""Whether a node's devices are fit for a job: GPU memory, a matrix product, and a collective."""

import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from modules.health.checks import GIGABYTE, Finding
from modules.training.monitoring.model_flops import measured_flops

_SIZE = 512
_NUM_ROUNDS = 5
_COLLECTIVE_S = 120.0


def devices() -> list[torch.device]:
    """The CPU and every GPU."""
    return [torch.device("cpu"), *(torch.device("cuda", index) for index in range(torch.cuda.device_count()))]


def gpu_memory(device: torch.device, min_free_gb: float) -> Finding:
    """Whether enough of a GPU's memory is free.

    Args:
        device: the GPU.
        min_free_gb: gigabytes that must be.
    """
    try:
        free, total = torch.cuda.mem_get_info(device)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:120]
        return Finding(f"memory of {device}", reason, "Look at nvidia-smi; a reset or a reboot may be needed")
    found = f"{free / GIGABYTE:.1f} of {total / GIGABYTE:.1f} GB free"
    advice = "" if free / GIGABYTE >= min_free_gb else "End what holds it: nvidia-smi lists the processes"
    return Finding(f"memory of {device}", found, advice)


def right_product(device: torch.device) -> Finding:
    """Whether a product of matrices of small whole numbers, which float32 holds exactly, is right.

    Checked against a vector: (A B) x = A (B x) (Freivalds 1979), the right side on the CPU in float64.

    Args:
        device: that multiplies.
    """
    generator = torch.Generator().manual_seed(0)
    left, right, vector = (
        torch.randint(-4, 5, shape, generator=generator).double()
        for shape in ((_SIZE, _SIZE), (_SIZE, _SIZE), (_SIZE,))
    )
    product = f"a matrix product on {device}"
    broken = "Take the node out of use and have its memory and this device tested"
    try:
        found = (left.float().to(device) @ right.float().to(device)).cpu().double() @ vector
    except RuntimeError as error:
        return Finding(product, " ".join(str(error).split())[:120], broken)
    expected = left @ (right @ vector)
    num_wrong = int((found != expected).sum())
    if num_wrong:
        return Finding(product, f"{num_wrong} of {_SIZE} rows are wrong", broken)
    return Finding(product, "right")


def speed(device: torch.device, min_gflops: float | None) -> tuple[Finding, float]:
    """How fast a device multiplies matrices of float32.

    Args:
        device: that multiplies.
        min_gflops: billions of operations a second that must be reached; None is any number.

    Returns:
        What was found, and operations a second.
    """
    # What else computes here for a moment says nothing of the node.
    flops = max(measured_flops(device, torch.float32) or 0.0 for _ in range(_NUM_ROUNDS))
    slow = not flops or (min_gflops is not None and flops < min_gflops * 1e9)
    advice = "End what else computes on it, or lower min_gflops" if slow else ""
    return Finding(f"speed of {device}", f"{flops / 1e9:,.0f} GFLOP/s in float32", advice), flops


def collective(num_gpus: int) -> Finding:
    """Whether local processes can add up a tensor together: by NCCL on several GPUs, else two by Gloo.

    Args:
        num_gpus: of this node.
    """
    backend, size = ("nccl", num_gpus) if num_gpus > 1 else ("gloo", 2)
    name = f"a collective of {size} processes by {backend}"
    advice = "Look at the network interfaces (ip addr) and at GLOO_SOCKET_IFNAME or NCCL_SOCKET_IFNAME"
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "modules.health.collective_member", backend, str(size)]
        members = [
            subprocess.Popen(
                [*command, str(rank), str(Path(folder) / "store")],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            for rank in range(size)
        ]
        try:
            said = [member.communicate(timeout=_COLLECTIVE_S)[1] for member in members]
        except subprocess.TimeoutExpired:
            return Finding(name, f"no answer within {_COLLECTIVE_S:.0f} s", advice)
        finally:
            for member in members:
                member.kill()
                member.wait()
    failed = [text for member, text in zip(members, said, strict=True) if member.returncode]
    if failed:
        return Finding(name, (failed[0].strip().splitlines() or ["it failed"])[-1][:160], advice)
    return Finding(name, "right")
