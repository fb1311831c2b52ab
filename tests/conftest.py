"""What every test shares: shapes and types of bricks and models are checked at run time, threads are few."""

import os
import signal

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

from hypothesis import settings
from jaxtyping import install_import_hook

# A loaded machine makes no test wrong.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

# Begun in the background of a shell, tests and what they start would not hear ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

install_import_hook(["modules.bricks", "modules.models"], "beartype.beartype")
