"""What every test shares: shapes and types of bricks and models are checked at run time, threads are few."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

from hypothesis import settings
from jaxtyping import install_import_hook

# A loaded machine makes no test wrong.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

install_import_hook(["modules.bricks", "modules.models"], "beartype.beartype")
