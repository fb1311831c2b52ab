"""The code of a training in two rings: what decides the weights' bits, and what carries the training.

What decides (models, tasks, losses, readers, order and collation of the data, optimisation) is part of a
run's identity: an edit trains again. What carries (progress, tracking, files of checkpoints, reading of
configuration) should change no bit, and whether it does is checked: after an edit, `train` computes a
finished run's first steps again and compares the weights (`modules.training.runs.replay`). A module decides
unless it is listed here. Documents, comments and docstrings count in neither ring.
"""

import hashlib

from modules.configuration.plans.identity import pinned_environment
from modules.configuration.plans.run_plan import Code
from modules.configuration.static_analysis.code_fingerprint import code_files, fingerprint_of
from modules.configuration.static_analysis.definitions import ROOT

DECIDING_ROOTS = ("modules.training.runs.run", "modules.datamodules.shard_loader")
"""Beside the classes that a configuration names."""
CARRYING_ROOTS = ("modules.training.runs.train_runs",)
CARRIERS = (
    "modules/configuration/",
    "modules/tracking/",
    "modules/cluster/",
    "modules/datamodules/mirror/",
    "modules/sources/",
    "modules/training/monitoring/",
    "modules/training/ray_workers/",
    "modules/training/runs/",
)
"""Folders of what carries."""


def deciding_code(targets: list[str]) -> Code:
    """The code that may change the weights that a training ends with, and the pinned environment.

    Args:
        targets: the classes that the configuration builds.

    Raises:
        UserError: a name leads to no source, or a source is no valid Python.
    """
    reached = code_files([*targets, *DECIDING_ROOTS])
    files = {path: digest for path, digest in reached.items() if not path.startswith(CARRIERS)}
    pins = "\n".join(pinned_environment(ROOT / "constraints.txt"))
    return Code(fingerprint_of(files), files, hashlib.sha256(pins.encode()).hexdigest())


def carrying_code() -> str:
    """The fingerprint of the code that carries any training."""
    reached = code_files(list(CARRYING_ROOTS))
    return fingerprint_of({path: digest for path, digest in reached.items() if path.startswith(CARRIERS)})
