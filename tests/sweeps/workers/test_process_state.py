"""What a trial leaves behind in its process is put back."""

import subprocess
import sys

from tests.commands import environment

SPOIL = """
import os, random, sys, warnings, logging
import numpy as np, torch
from modules.sweeps.workers.process_state import ProcessState

def seen():
    return (
        dict(os.environ), os.getcwd(), list(sys.path), list(warnings.filters),
        logging.getLogger().level, sys.getrecursionlimit(), np.geterr(),
        random.random(), np.random.rand(), torch.rand(1).item(),
        torch.get_num_threads(), torch.get_default_dtype(), torch.is_anomaly_enabled(),
        torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark,
        torch.get_float32_matmul_precision(),
    )

state = ProcessState()
first = seen()
os.environ["SPOILT"] = "1"; del os.environ["HOME"]; os.chdir("/"); sys.path.append("/nowhere")
warnings.simplefilter("error"); logging.getLogger().setLevel(7)
random.seed(1); np.random.seed(1); torch.manual_seed(1); torch.set_num_threads(3)
torch.set_default_dtype(torch.float64); torch.use_deterministic_algorithms(True)
torch.backends.cudnn.benchmark = True; torch.set_float32_matmul_precision("medium")
torch.autograd.set_detect_anomaly(True); np.seterr(all="ignore"); sys.setrecursionlimit(5000)
spoilt = seen()
assert all(now != before for now, before in zip(spoilt, first)), "each of these is spoilt"
state.restore()
assert seen() == first
"""


def test_all_of_it_is_as_before() -> None:
    result = subprocess.run(
        [sys.executable, "-c", SPOIL], env=environment() | {"HOME": "/"}, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
