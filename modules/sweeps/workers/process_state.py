"""What a trial may change in its process, put back before the next one.

A trial in a used worker then draws the same numbers and takes the same code paths as in a fresh process.
What belongs to a thread (gradient mode, autocast, default device) needs no care: each trial has a thread of
its own.
"""

import gc
import logging
import os
import random
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

Restore = Callable[[], object]


class ProcessState:
    """The state of this process as it is now; to be taken once, when all is imported and nothing has run."""

    def __init__(self) -> None:
        self._restores = [_interpreter(), _logging(), _random()]
        if "numpy" in sys.modules:
            self._restores.append(_numpy())
        if "torch" in sys.modules:
            self._restores.append(_torch())
        # The imported modules are a million objects that no collection need look at again.
        gc.collect()
        gc.freeze()

    def restore(self) -> None:
        """Makes it so again, and frees what the trial has left."""
        gc.collect()
        for restore in self._restores:
            restore()


def _interpreter() -> Restore:
    environment, folder, path = dict(os.environ), Path.cwd(), list(sys.path)
    filters, recursion_limit = list(warnings.filters), sys.getrecursionlimit()

    def restore() -> None:
        if dict(os.environ) != environment:
            os.environ.clear()
            os.environ.update(environment)
        os.chdir(folder)
        sys.path[:] = path
        warnings.filters[:] = filters  # pyright: ignore[reportIndexIssue]
        warnings._filters_mutated()  # pyright: ignore[reportAttributeAccessIssue]
        sys.setrecursionlimit(recursion_limit)

    return restore


def _logging() -> Restore:
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)

    def restore() -> None:
        root.setLevel(level)
        root.handlers[:] = handlers

    return restore


def _random() -> Restore:
    state = random.getstate()
    return lambda: random.setstate(state)


def _numpy() -> Restore:
    import numpy as np

    state, errors = np.random.get_state(legacy=False), np.geterr()

    def restore() -> None:
        np.random.set_state(state)
        np.seterr(**errors)

    return restore


def _torch() -> Restore:
    import torch

    cpu, seed = torch.get_rng_state(), torch.initial_seed()
    num_threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    matmul, anomaly = torch.get_float32_matmul_precision(), torch.is_anomaly_enabled()
    cudnn = torch.backends.cudnn
    switches = ("enabled", "benchmark", "deterministic", "allow_tf32")
    values = [getattr(cudnn, switch) for switch in switches]

    def restore() -> None:
        torch.set_rng_state(cpu)
        torch.set_num_threads(num_threads)
        torch.set_default_dtype(dtype)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        torch.set_float32_matmul_precision(matmul)
        torch.autograd.set_detect_anomaly(anomaly)
        for switch, value in zip(switches, values, strict=True):
            setattr(cudnn, switch, value)
        if torch.cuda.is_initialized():
            torch.cuda.manual_seed_all(seed)
            torch.cuda.empty_cache()

    return restore
