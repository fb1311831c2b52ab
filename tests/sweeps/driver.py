"""A driver in a process of its own, to be killed: python -m tests.sweeps.driver <storage> <points as JSON>"""

import json
import sys
from pathlib import Path

from rich.console import Console

from modules.cluster.connection import connect
from modules.sweeps.control.controller import run_sweep
from tests.sweeps.small_sweep import TRIAL, make_sweep

if __name__ == "__main__":
    sweep = make_sweep(Path(sys.argv[1]), json.loads(sys.argv[2]))
    connect(sweep.runtime, num_cpus=2)
    run_sweep(sweep, Console(width=200), TRIAL)
