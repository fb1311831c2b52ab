"""Ends a process of MLflow's server when its parent has ended, however that came.

uvicorn's workers go on where their parent was killed, and keep the port. Python runs this file by its name at
the start of every process that has its folder in PYTHONPATH; the kernel then sends the signal (prctl(2),
PR_SET_PDEATHSIG; Linux). The first process stays as it is: it may outlive the shell that started it.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1

if sys.platform == "linux" and os.environ.get("MLFLOW_FIRST_PROCESS") != str(os.getpid()):
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
