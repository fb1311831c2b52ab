"""The trial function of a sweep that trains: one trial by itself, or several as one program.

Imported by every worker once, and with it torch, Lightning and all that trainings have in common.
"""

from pathlib import Path
from typing import Any

from modules.sweeps.workers.stacking import train_stacked
from modules.sweeps.workers.training_trial import train_one_trial
from modules.sweeps.workers.trial_worker import Assignment, Reporter


def train_trials(assignments: list[Assignment], report: Reporter) -> dict[int, dict[str, Any]]:
    """Trains one trial, or several of one shape as one program.

    Args:
        assignments: of the trials.
        report: gives the decision on an epoch.

    Returns:
        How each trial ended.
    """
    first = assignments[0]
    begun_in_a_stack = (Path(first["folder"]) / "checkpoints" / "stacked.pt").exists()
    if len(assignments) > 1 or (begun_in_a_stack and not first["alone"]):
        return train_stacked(assignments, report)
    return {assignment["trial"]: train_one_trial(assignment, report) for assignment in assignments}
