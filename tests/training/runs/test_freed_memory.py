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
print(freed_memory.keep_freed_memory(), first, (faults(), faults())[1])
"""


def test_memory_is_used_again() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    listens, before, after = done.stdout.split()
    assert listens == "True" and int(before) > 10_000
    assert int(after) < int(before) // 10
