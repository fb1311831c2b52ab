"""Freed memory stays in the process, where what is asked for again brings no new pages."""

import subprocess
import sys

PROGRAM = """
import resource, torch
from modules.training.runs import freed_memory
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        tensors = [torch.ones(2_000_000) for _ in range(3)]
        del tensors
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
first = faults()
print(freed_memory.NAME(), first, (faults(), faults())[1])
"""


def faults(name: str) -> tuple[int, int]:
    """Page faults of one loop before and after a function of the module has been called."""
    program = PROGRAM.replace("NAME", name)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    listens, before, after = done.stdout.split()
    assert listens == "True"
    return int(before), int(after)


def test_memory_is_used_again() -> None:
    before, after = faults("keep_freed_memory")
    assert before > 10_000
    assert after < before // 10
