"""Results without a run folder, as `dvc pull` brings them, recorded as the run that they came from."""

import json
from pathlib import Path
from typing import Any

from modules.configuration.plans.plan_files import plan_text
from modules.configuration.plans.run_plan import Plan
from modules.configuration.regular_file import read_regular_text
from modules.configuration.yaml_files import write_if_changed
from modules.training.runs.environment import FACTS
from modules.training.runs.run import open_tracker
from modules.training.runs.run_folder import RunFolder
from modules.training.runs.worth import tracked


def record_results(
    plan: Plan, identity: str, folder: RunFolder, shards: Path, results: Path, evaluation: Path
) -> None:
    """Tells the plan's tracker what a training and its evaluation came to; times are those of now.

    Args:
        plan: of the run.
        identity: of the run.
        folder: of the run; gets its plan and the spool.
        shards: the folder of its dataset.
        results: of the training, as `RunFolder.publish` leaves them.
        evaluation: what `modules.registry.outcome.write_outcome` left.

    Raises:
        UserError: another process is training the run.
    """
    summary, history = (_read(results / name) for name in ("summary.json", "history.json"))
    metrics = _read(evaluation / "metrics.json")
    with folder.held():
        write_if_changed(folder.plan, plan_text(plan.to_plain()))
        facts = {name: str(summary[name]) for name in FACTS if name in summary}
        tracker = open_tracker(plan, identity, shards, folder, facts)
        for name, points in history.items():
            for step, value in points:
                tracker.metric(name, value, step)
        tracker.metrics({f"test/{name}": value for name, value in metrics.items()}, summary["steps"])
        tracker.metrics(tracked(summary), summary["steps"])
        tracker.artifact(results / "summary.json")
        tracker.artifact(evaluation, "evaluate")
        tracker.finish()


def _read(path: Path) -> dict[str, Any]:
    return json.loads(read_regular_text(path))
