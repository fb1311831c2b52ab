"""Whether this node is fit for a training: one line for each check, and what to do about what is not.

python -m pipelines.health
python -m pipelines.health storage=/shared/yard min_free_gb=50 min_gflops=200

Checked are the disks of runs and of the cache, the clock against that of the storage, memory, each GPU's
memory, a matrix product's result and speed on each device, and a collective of local processes. Exit
status 1 where a check fails. Jobs do this on each node before they start: cluster.health_check=true.
"""

import math
import os
import socket
import sys
from dataclasses import dataclass, fields
from pathlib import Path

from modules.configuration.command import arguments, run
from modules.configuration.errors import UserError
from modules.health.checks import Finding, clock, compared, disk, memory

FAILED = 1


@dataclass(frozen=True)
class Arguments:
    """
    Args:
        storage: folder that holds runs and shards, as runtime.storage.
        cache: folder of what is kept from mirrors, as data.cache_dir.
        min_free_gb: gigabytes that must be free on both disks.
        min_memory_gb: gigabytes of memory that must be available.
        min_gpu_memory_gb: gigabytes that must be free on each GPU.
        max_clock_s: seconds that this clock may be apart from the storage's.
        min_gflops: billions of operations a second of the slowest device's matrix product; null is any.
        together: folder in which the nodes of a job compare their speeds; null compares none.
        num_nodes: how many nodes compare.
        min_ratio: of the nodes' median speed that each must reach.
        wait_s: seconds to wait for the other nodes.
    """

    storage: Path = Path()
    cache: Path = Path("data/cache/shards")
    min_free_gb: float = 1.0
    min_memory_gb: float = 1.0
    min_gpu_memory_gb: float = 1.0
    max_clock_s: float = 5.0
    min_gflops: float | None = None
    together: Path | None = None
    num_nodes: int = 1
    min_ratio: float = 0.5
    wait_s: float = 120.0


def main(argv: list[str]) -> int:
    """Returns the exit status."""
    chosen = arguments(argv, Arguments, __doc__ or "")
    _check(chosen)
    # As Kubernetes and SLURM call it, where the host's own name may be a pod's.
    node = os.environ.get("NODE_NAME") or os.environ.get("SLURMD_NODENAME") or socket.gethostname()
    findings: list[Finding] = []

    def tell(finding: Finding) -> None:
        findings.append(finding)
        print(finding.line(node), flush=True)

    tell(disk(chosen.storage / "runs", chosen.min_free_gb))
    tell(disk(chosen.cache, chosen.min_free_gb))
    tell(clock(chosen.storage, chosen.max_clock_s))
    tell(memory(chosen.min_memory_gb))
    from modules.health.devices import collective, devices, gpu_memory, right_product, speed

    found = devices()
    speeds = []
    for device in found:
        if device.type == "cuda":
            tell(gpu_memory(device, chosen.min_gpu_memory_gb))
        tell(right_product(device))
        # A GPU's node is not judged by what its CPU does.
        is_judged = device.type == "cuda" or len(found) == 1
        finding, flops = speed(device, chosen.min_gflops if is_judged else None)
        tell(finding)
        speeds += [flops] if is_judged else []
    if chosen.together is not None:
        from modules.health.other_nodes import speeds_of_all

        others = speeds_of_all(chosen.together, node, min(speeds), chosen.num_nodes, chosen.wait_s)
        if len(others) < chosen.num_nodes:
            told = f"{len(others)} of {chosen.num_nodes} nodes came: {', '.join(sorted(others))}"
            tell(
                Finding(
                    "other nodes", told, "Look at the nodes that are missing, and that all see the folder"
                )
            )
        else:
            tell(compared(others[node], list(others.values()), chosen.min_ratio))
    tell(collective(len(found) - 1))
    failed = [finding for finding in findings if not finding.is_well]
    if failed:
        names = ", ".join(finding.check for finding in failed)
        print(f"error: {node} failed {len(failed)} of {len(findings)} checks: {names}", file=sys.stderr)
        return FAILED
    return 0


def _check(chosen: Arguments) -> None:
    """Refuses limits that are none."""
    for one in fields(chosen):
        value = getattr(chosen, one.name)
        least = 1 if one.name == "num_nodes" else 0
        if isinstance(value, int | float) and not (least <= value < math.inf):
            raise UserError(f"{one.name}={value} is no limit", f"Give a number from {least} on")
    if chosen.min_ratio > 1:
        raise UserError(f"min_ratio={chosen.min_ratio:g} no node could reach", "Give at most 1")
    if chosen.num_nodes > 1 and chosen.together is None:
        raise UserError("num_nodes without a folder to compare in", "Add together=FOLDER, seen by all nodes")


if __name__ == "__main__":
    run(main)
