"""Stacked trials: those that differ in numbers alone are trained as one program (see `training`)."""

from modules.sweeps.workers.stacking.groups import stack_groups, stack_size
from modules.sweeps.workers.stacking.training import train_stacked

__all__ = ["stack_groups", "stack_size", "train_stacked"]
