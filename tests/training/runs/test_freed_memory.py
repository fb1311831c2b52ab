"""Freed memory stays in the process: what is asked for again brings no new pages."""

import subprocess
import sys

PROGRAM = """
import resource, torch
from modules.training.runs.freed_memory import keep_freed_memory, return_freed_memory
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        tensors = [torch.ones(2_000_000) for _ in range(3)]
        del tensors
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
first = faults()
print(keep_freed_memory(), first, (faults(), faults())[1], return_freed_memory(), faults())
"""


def test_memory_is_used_again() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    listens, before, after, listens_again, returned = done.stdout.split()
    assert listens == listens_again == "True"
    assert int(before) > 10_000
    assert int(after) < int(before) // 10 < int(returned)
